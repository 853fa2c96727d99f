"""Published files: the real huggingface_hub against a hub on this machine that misbehaves."""

import errno
import os
import types
from pathlib import Path

import pytest

from densevit.core.errors import DensevitError, UnavailableError
from densevit.weights import HubFile, WeightsError, fetch, is_cached
from helpers.hub_server import COMMIT, stored

CHUNK = 10 * 2**20
"""huggingface_hub keeps what arrives of a broken connection in pieces of this size."""


@pytest.fixture(autouse=True)
def only_here(hub, home, monkeypatch):
    """What HF_ENDPOINT and HF_HOME do in a process of its own; no pauses between attempts."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    from huggingface_hub import constants, file_download

    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    # a copy that early versions keep
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    yield
    if hasattr(huggingface_hub, "close_session"):
        huggingface_hub.close_session()


def file(known: str = "") -> HubFile:
    return HubFile("who/what", "x.pt", known)


def refused(known: str = "", kind: type[DensevitError] = WeightsError) -> str:
    """What `fetch` says; nothing is returned, and nothing is then taken for the file."""
    with pytest.raises(kind) as caught:
        fetch(file(known))
    assert not is_cached(file(known))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("digits", [0, 1, 12, 63, 64])
def test_of_the_checksum_any_number_of_digits_may_be_known(hub, digits):
    known = file(hub.sha256[:digits])
    assert not is_cached(known)
    assert fetch(known).read_bytes() == hub.content
    assert is_cached(known)


def test_a_checksum_other_than_sha256_is_not_compared(hub):
    hub.etag = "f" * 40
    assert fetch(file()).read_bytes() == hub.content


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub, home):
    hub.content = os.urandom(2 * CHUNK + 1000)
    hub.cuts = [CHUNK + 10, 0]
    seen = []
    hub.at_cut = lambda: seen.append((is_cached(file()), [path.suffix for path in stored(home)]))
    path = fetch(file())
    assert path.read_bytes() == hub.content
    assert hub.downloads == ["", f"bytes={CHUNK}-", f"bytes={CHUNK}-"]
    assert [cached for cached, _ in seen] == [False, False]
    # on the disk is a half file at most, and it is not called as the whole one will be
    assert {suffix for _, suffixes in seen for suffix in suffixes} <= {".incomplete"}
    assert {found.resolve() for found in stored(home)} == {path.resolve()}


class TestWrongBytes:
    """What is not what it should be is removed, and the next run gets another chance."""

    @pytest.mark.parametrize("digits", [0, 8, 64])
    def test_damaged_on_the_way(self, hub, home, digits):
        hub.sent = hub.content[:-1] + b"?"
        said = refused(hub.sha256[:digits])
        assert said.startswith(f"{hub.url}: the copy on this machine is damaged (SHA-256 ")
        assert "removed from the cache; run again" in said
        assert stored(home) == []
        hub.sent = None
        assert fetch(file()).read_bytes() == hub.content

    @pytest.mark.parametrize("length", [0, 1, -1, None])
    def test_damaged_on_the_disk(self, hub, home, length):
        path = fetch(file())
        path.write_bytes(hub.content[:length] if length is not None else hub.content[:-1] + b"?")
        asked = len(hub.requests)
        assert "damaged" in refused()
        assert stored(home) == []
        assert len(hub.requests) == asked
        assert fetch(file()) == path
        assert path.read_bytes() == hub.content

    def test_another_file_than_the_known(self, hub, home):
        said = refused("0" * 64)
        assert f"not the file that densevit knows (SHA-256 {hub.sha256[:12]}, expected 000000000000)" in said
        assert "it was removed from the cache" in said
        assert "weights=FILE" in said
        assert stored(home) == []

    def test_a_single_known_digit_counts(self, hub):
        refused("0" if hub.sha256[0] != "0" else "1")

    def test_without_links(self, hub, home, monkeypatch):
        """As on Windows, where the file does not lie under its checksum."""

        def no_links(*_, **__):
            raise OSError("no links")

        monkeypatch.setattr(os, "symlink", no_links)
        monkeypatch.setenv("HF_HUB_DISABLE_SYMLINKS_WARNING", "1")
        hub.sent = hub.content[:-1] + b"?"
        with pytest.warns(UserWarning, match="symlinks"):
            assert "damaged" in refused()
        assert stored(home) == []
        hub.sent = None
        path = fetch(file())
        assert not path.is_symlink()
        assert fetch(file(hub.sha256)) == path
        path.write_bytes(hub.content[:-1] + b"?")
        assert "damaged" in refused(hub.sha256)

    def test_a_link_out_of_the_cache_is_cut_and_not_followed(self, hub, tmp_path):
        path = fetch(file())
        mine = tmp_path / "mine.pt"
        mine.write_bytes(b"my own")
        path.unlink()
        path.symlink_to(mine)
        refused(hub.sha256)
        assert mine.read_bytes() == b"my own"
        assert not path.is_symlink()

    def test_a_file_that_cannot_be_removed_is_named(self, monkeypatch):
        path = fetch(file())

        def read_only(self, missing_ok=False):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

        monkeypatch.setattr(Path, "unlink", read_only)
        with pytest.raises(WeightsError, match=rf"cannot be removed \(Read-only file .*, so delete {path}"):
            fetch(file("0" * 64))


class TestNoDownload:
    """Nothing arrives, nothing is left behind, and one line says what to do."""

    @pytest.fixture(autouse=True)
    def nothing_stays(self, hub, home):
        yield
        assert [path for path in stored(home) if not path.is_symlink() and path.name != hub.sha256] == []

    def test_a_hub_that_does_not_listen(self, hub):
        hub.stop()
        said = refused(kind=UnavailableError)
        assert "not on this machine, and the hub cannot be reached (Connect" in said
        assert "--weights FILE" in said

    @pytest.mark.parametrize(
        ("status", "headers", "words"),
        [
            (404, {"X-Error-Code": "EntryNotFound"}, "no longer has this file (status 404)"),
            (404, {"X-Error-Code": "RepoNotFound"}, "no longer has this file (status 404)"),
            (401, {"X-Error-Code": "RepoNotFound"}, "refuses it (status 401)"),
            (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, "hf auth logout"),
            (403, {}, "refuses it (status 403)"),
            (403, {"X-Error-Code": "GatedRepo"}, "the repository is gated"),
            (500, {}, "cannot answer now (status 500)"),
            (429, {}, "cannot answer now (status 429)"),
        ],
        ids=str,
    )
    def test_it_answers_but_does_not_give(self, hub, status, headers, words):
        # that there is no such file is noted in the cache, and must not stand in the way when there is one
        hub.status, hub.headers = status, {**headers, "X-Repo-Commit": COMMIT}
        said = refused(kind=UnavailableError if status in (429, 500) else WeightsError)
        assert words in said
        assert said.startswith(f"{hub.url}: ")
        assert "weights=FILE" in said
        hub.status, hub.headers = 200, {}
        assert fetch(file()).read_bytes() == hub.content

    def test_busy_for_a_moment(self, hub, monkeypatch):
        hub.status, hub.headers = 503, {"Retry-After": "0"}

        def later(seconds):
            hub.status = 200

        monkeypatch.setattr("time.sleep", later)
        assert fetch(file()).read_bytes() == hub.content

    def test_a_server_that_is_not_a_hub(self, hub):
        hub.is_hub = False
        assert "what answers there is not a hub; check HF_ENDPOINT" in refused(kind=UnavailableError)

    def test_a_connection_that_breaks_for_good(self, hub):
        hub.cuts = [len(hub.content) // 2] + [0] * 20
        said = refused(kind=UnavailableError)
        assert "the download broke off" in said
        assert "run again" in said
        hub.cuts = []
        assert fetch(file()).read_bytes() == hub.content

    def test_less_than_was_announced(self, hub):
        hub.sent = hub.content[: len(hub.content) // 2]
        assert "the download broke off" in refused(kind=UnavailableError)


class TestCache:
    """A cache that cannot hold the file, or is not one."""

    def test_below_a_file(self, home):
        home.touch()
        said = refused(kind=UnavailableError)
        assert f"the cache {home}/hub cannot be used (Not a directory: " in said
        assert "set HF_HOME to a folder that can be written to" in said

    def test_the_variable_that_decides_is_named(self, home, monkeypatch):
        home.touch()
        monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
        assert "set HF_HUB_CACHE to a folder" in refused(kind=UnavailableError)

    def test_a_disk_without_space_is_not_filled(self, hub, home, monkeypatch):
        free = len(hub.content) - 1
        monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=free))
        said = refused(kind=UnavailableError)
        assert f"no space for it in {home}/hub (0.5 MB needed, 0.5 MB free)" in said
        assert "set HF_HOME to a folder on another disk" in said
        assert hub.downloads == []
        assert stored(home) == []

    def test_a_damaged_reference_in_it(self, hub):
        path = fetch(file())
        (path.parents[2] / "refs" / "main").write_bytes(b"\xff\x00")
        assert not is_cached(file())
        refused(kind=UnavailableError)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no space"),
        (RuntimeError("Task error: IO: No space left on device (os error 28)"), "no space"),
        (PermissionError(errno.EACCES, "Permission denied", "/c/x"), "cannot be used (Permission denied: /c/x)"),
        (OSError(errno.EROFS, "Read-only file system", "/c"), "cannot be used (Read-only file system: /c)"),
        (PermissionError(errno.EACCES, "a firewall"), "not on this machine, and the download broke off"),
        (MemoryError(), "and the download broke off (MemoryError: MemoryError)"),
        (RuntimeError("a\nb\nc"), "and the download broke off (RuntimeError: a)"),
    ],
    ids=repr,
)
def test_errors_that_only_other_machines_meet(hub, monkeypatch, error, words, wrapped):
    def fail(*_, **__):
        if wrapped and isinstance(error, OSError):
            raise RuntimeError("wrapped") from error
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    assert words in refused(kind=UnavailableError)


@pytest.mark.parametrize("sha256", ["A" * 64, "0" * 65, "g", "ab cd", "ab\n", " "])
def test_other_checksums_are_refused(sha256):
    with pytest.raises(ValueError, match=r"x\.pt: sha256 must be"):
        HubFile("who/what", "x.pt", sha256)


@pytest.mark.parametrize(
    ("repository", "name"),
    [(repository, "x.pt") for repository in ("", "a/b/c", "..", "a b", "who/what\n", "-a")]
    + [("who/what", name) for name in ("", "../../x", "/etc/passwd", "a\0b", "ä b?#%.pt", "x" * 300)],
)
def test_names_that_do_not_exist(repository, name, hub):
    hub.status = 404
    assert not is_cached(HubFile(repository, name))
    with pytest.raises(DensevitError):
        fetch(HubFile(repository, name))
