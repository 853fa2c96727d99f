"""A file is there whole or not at all, whatever happens; what the system refuses is said in one line."""

import errno
import os
import shutil
import stat
from pathlib import Path

import pytest

from densevit.core.errors import InputError, UnavailableError
from densevit.core.files import make_folder, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file(tmp_path):
    path = tmp_path / "x.bin"
    with write_atomically(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".bin"
        assert temporary.read_bytes() == b""
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["x.bin"]


def test_an_old_file_stays_until_the_end(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with write_atomically(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [True, False])
def test_failure_leaves_nothing_behind(tmp_path, error, old):
    path = tmp_path / "x.bin"
    if old:
        path.write_bytes(b"old")

    def fail():
        with write_atomically(path) as temporary:
            temporary.write_bytes(b"half")
            raise error("stop")

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == (["x.bin"] if old else [])
    assert not old or path.read_bytes() == b"old"


def test_a_writer_that_took_the_file_away(tmp_path):
    def fail():
        with write_atomically(tmp_path / "x.bin") as temporary:
            temporary.unlink()

    with pytest.raises(FileNotFoundError):
        fail()
    assert names(tmp_path) == []


def test_a_writer_that_made_the_file_anew(tmp_path):
    with write_atomically(tmp_path / "x.bin") as temporary:
        temporary.unlink()
        temporary.write_bytes(b"new")
    assert (tmp_path / "x.bin").read_bytes() == b"new"


def write(path, content=b"new"):
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)


def refused(kind, action, *arguments):
    """The one line with which an action is refused; the system's error is its cause."""
    with pytest.raises(kind) as caught:
        action(*arguments)
    assert isinstance(caught.value.__cause__, OSError)
    message = str(caught.value)
    assert "\n" not in message
    assert "; " in message, "and what to do"
    return message


class TestRefusals:
    """Errors of the system become users' errors that name the file and what to do."""

    def test_the_target_is_a_folder(self, tmp_path):
        (tmp_path / "x").mkdir()
        message = refused(InputError, write, tmp_path / "x")
        assert message.startswith(f"{tmp_path / 'x'}: is a folder; choose another file name")
        assert names(tmp_path) == ["x"]
        write(tmp_path / "y")
        (tmp_path / "x").rmdir()
        write(tmp_path / "x")

    def test_no_folder(self, tmp_path):
        path = tmp_path / "none" / "x.bin"
        assert refused(InputError, write, path) == f"{path}: no such folder; create {path.parent} first"
        make_folder(path.parent)
        write(path)

    def test_a_file_in_place_of_the_folder(self, tmp_path):
        (tmp_path / "file").touch()
        message = refused(InputError, write, tmp_path / "file" / "below" / "x")
        assert f"{tmp_path / 'file'} is a file, not a folder" in message

    def test_a_name_that_is_too_long(self, tmp_path):
        assert "the name is too long; choose a shorter one" in refused(InputError, write, tmp_path / ("x" * 300))
        assert names(tmp_path) == []

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
    def test_a_folder_that_may_not_be_written_to(self, tmp_path, monkeypatch, number):
        def refuse(self, *_):  # a test may run as root, who may write everywhere
            raise OSError(number, os.strerror(number), str(self))

        monkeypatch.setattr(Path, "open", refuse)
        message = refused(InputError, write, tmp_path / "x")
        assert message == (
            f"{tmp_path / 'x'}: cannot be written ({os.strerror(number)}); choose a folder that you may write to"
        )

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
    def test_a_full_disk(self, tmp_path, number):
        def fill(path):
            with write_atomically(path) as temporary:
                temporary.write_bytes(b"half")
                raise OSError(number, os.strerror(number))  # as `write` does, which names no file

        message = refused(UnavailableError, fill, tmp_path / "x")
        assert message.startswith(
            f"{tmp_path / 'x'}: no space left to write it ({os.strerror(number)}); free some"
        )
        assert names(tmp_path) == []

    def test_the_folder_is_deleted_meanwhile(self, tmp_path):
        def lose(path):
            with write_atomically(path):
                shutil.rmtree(path.parent)

        (tmp_path / "out").mkdir()
        assert "no such folder; create" in refused(InputError, lose, tmp_path / "out" / "x")

    @pytest.mark.parametrize(
        "error",
        [OSError("decoder error -2"), ConnectionResetError(104, "reset"), PermissionError(13, "no", "other")],
    )
    def test_errors_that_are_not_about_the_file_pass_through(self, tmp_path, error):
        def fail():
            with write_atomically(tmp_path / "x"):
                raise error

        with pytest.raises(type(error)) as caught:
            fail()
        assert caught.value is error
        assert names(tmp_path) == []


def test_make_folder(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "is a file, not a folder; choose another folder" in refused(InputError, make_folder, path)


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with write_atomically(tmp_path / "x") as temporary:
        temporary.write_bytes(b"new")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_the_content_is_on_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: order.append((tmp_path / "x").exists()) or sync(file))
    with write_atomically(tmp_path / "x") as temporary:
        temporary.write_bytes(b"new")
    assert order == [False]


def test_two_writers_at_once(tmp_path):
    with write_atomically(tmp_path / "x") as first, write_atomically(tmp_path / "x") as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert (tmp_path / "x").read_bytes() == b"first"
    assert names(tmp_path) == ["x"]
