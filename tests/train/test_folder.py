"""One training at a time in a folder, and nothing left of those that were killed."""

import subprocess
import sys

import pytest

from densevit.core.errors import UsageError
from densevit.train.folder import LOCK_NAME, occupy_folder
from helpers import tiny

HOLDER = """
import sys, time
from pathlib import Path
from densevit.train.folder import occupy_folder
with occupy_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder):
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=tiny.environment())
    assert process.stdout.readline() == "held\n"
    return process


def test_another_training_is_refused_until_the_first_ends(tmp_path):
    process = hold(tmp_path)
    try:
        with (
            pytest.raises(UsageError, match="another training runs in this folder; wait for it, or choose"),
            occupy_folder(tmp_path),
        ):
            pass
    finally:
        process.kill()
        process.communicate()
    # the lock of a killed process is free, though its file is there
    assert (tmp_path / LOCK_NAME).exists()
    with occupy_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_leftovers_go_and_other_files_stay(tmp_path):
    left = [tmp_path / ".0123456789abcdef.pt", tmp_path / ".ffffffffffffffff.safetensors"]
    kept = [tmp_path / "last.pt", tmp_path / ".0123456789abcdef", tmp_path / ".hidden.pt", tmp_path / "notes"]
    for path in (*left, *kept):
        path.write_bytes(b"x")
    with occupy_folder(tmp_path):
        assert not any(path.exists() for path in left)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_an_error_releases_it(tmp_path):
    with pytest.raises(ValueError, match="what"), occupy_folder(tmp_path):
        raise ValueError("what")
    with occupy_folder(tmp_path):
        pass
