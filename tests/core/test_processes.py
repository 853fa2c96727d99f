"""What torchrun says about a process is read in one place."""

import re
from pathlib import Path

import pytest

import densevit
from densevit.core.errors import UsageError
from densevit.core.processes import Launch, read_launch


@pytest.fixture
def launched(monkeypatch):
    def install(**variables):
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return read_launch

    return install


def test_one_process_without_torchrun(launched):
    assert launched()() == Launch(0, 1, 0)


def test_one_of_several(launched):
    assert launched(RANK="5", WORLD_SIZE="8", LOCAL_RANK="1")() == Launch(5, 8, 1)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be the number of processes, got 'two'; torchrun sets it"),
        ({"RANK": "-1"}, "RANK must be a whole number, got '-1'"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is 2, but WORLD_SIZE is 2"),
    ],
)
def test_what_cannot_be(launched, variables, message):
    with pytest.raises(UsageError, match=message):
        launched(**variables)()


def test_nobody_else_reads_them():
    source = Path(densevit.__file__).parent
    readers = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if re.search(r"environ\b.*(RANK|WORLD_SIZE)", path.read_text())
    }
    assert readers <= {"core/torch_processes.py"}
