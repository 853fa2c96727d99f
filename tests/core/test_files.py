"""A file is there whole or not at all, whatever happens."""

import os
import stat

import pytest

from densevit.core.files import write_atomically


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


def test_a_target_that_cannot_be_replaced(tmp_path):
    (tmp_path / "x").mkdir()

    def fail():
        with write_atomically(tmp_path / "x") as temporary:
            temporary.write_bytes(b"new")

    with pytest.raises(OSError, match="x"):
        fail()
    assert names(tmp_path) == ["x"]


def test_no_folder(tmp_path):
    def fail():
        with write_atomically(tmp_path / "none" / "x.bin"):
            pytest.fail("nothing to write to")

    with pytest.raises(FileNotFoundError):
        fail()


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
