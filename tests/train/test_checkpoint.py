"""A training's state on disk: whole, or the one before; never code."""

import os
from pathlib import Path

import pytest
import torch

from densevit.core.errors import UnavailableError
from densevit.train.checkpoint import CheckpointError, read_checkpoint, write_checkpoint

CPU = torch.device("cpu")
STATE = {
    "step": 3,
    "best": float("-inf"),
    "scores": {"miou": 0.5},
    "options": {"crop": (1, 2), "loss": "x"},
    "model": {"a": torch.arange(6.0).view(2, 3).contiguous(), "b": torch.tensor(3)},
}


class Harmful:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path, device=CPU)
    assert str(path) in str(error.value)
    return str(error.value)


def test_round_trip(tmp_path):
    write_checkpoint(tmp_path / "last.pt", STATE)
    got = read_checkpoint(tmp_path / "last.pt", device=CPU)
    for name in ("step", "best", "scores"):
        assert got[name] == STATE[name]
    assert list(got["options"]["crop"]) == [1, 2]
    assert all(torch.equal(got["model"][name], tensor) for name, tensor in STATE["model"].items())
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_checkpoints_of_earlier_versions_are_refused_in_one_line(tmp_path):
    torch.save({**STATE, "format": "densevit-training-1"}, tmp_path / "last.pt")
    line = refused(tmp_path / "last.pt")
    assert "an earlier version" in line
    assert "another folder" in line
    assert "\n" not in line


def test_a_failed_write_keeps_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    write_checkpoint(path, STATE)
    before = path.read_bytes()

    def full(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UnavailableError, match=r"last\.pt: no space left to write it"):
        write_checkpoint(path, {**STATE, "step": 4})
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_missing(tmp_path):
    assert "no checkpoint" in refused(tmp_path / "last.pt")
    refused(tmp_path)


def test_damaged(tmp_path):
    path = tmp_path / "last.pt"
    write_checkpoint(path, STATE)
    whole = path.read_bytes()
    for length in (1, 3, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path)
    for content in (b"hello\n" * 30, bytes(100)):
        path.write_bytes(content)
        refused(path)


@pytest.mark.parametrize("content", [[1], {"a": torch.ones(2)}, {"format": "other"}, torch.ones(2)], ids=str)
def test_something_else(tmp_path, content):
    torch.save(content, tmp_path / "last.pt")
    assert "not a checkpoint" in refused(tmp_path / "last.pt")


def test_code_is_never_run(tmp_path):
    torch.save({"format": "densevit-training-1", "model": Harmful(tmp_path / "marker")}, tmp_path / "last.pt")
    refused(tmp_path / "last.pt")
    assert not (tmp_path / "marker").exists()
