"""Published weights: from the cache of the Hugging Face hub or downloaded into it, and never used unverified.

Cache, resuming and progress bar are huggingface_hub's: the bar is on stderr, and only where that is a terminal.
Resuming is within a download (a broken connection is taken up again where it broke); what is left when a
download fails for good is deleted.
"""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from densevit.core.messages import first_line
from densevit.weights.files import WeightsError, hash_file

_SHA256 = re.compile("[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TOO_SMALL = "Not enough free disk space"
_GIVEN = "weights=FILE or --weights FILE"
_ELSEWHERE = f"fetch that file elsewhere and pass it as {_GIVEN}"


@dataclass(frozen=True)
class HubFile:
    """A published file.

    Attributes:
        repository: on the Hugging Face hub, OWNER/NAME.
        name: of the file in it, with its folders.
        sha256: of its bytes, in lower-case hex: all 64 digits or the leading ones that are known. Where none
            are, the file is verified against the checksum that the hub states.
    """

    repository: str
    name: str
    sha256: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{0,64}", self.sha256):
            raise ValueError(f"{self.name}: sha256 must be up to 64 lower-case hex digits, got {self.sha256!r}")


def is_cached(file: HubFile) -> bool:
    """Whether a file lies in the cache on this machine; it is not read."""
    return _cached(file) is not None


def fetch(file: HubFile) -> Path:
    """A file from the cache, without any network; downloaded into the cache where it is not there.

    Its bytes are hashed in every process that uses it: that takes 0.1 s for 200 MB, needs no notes of what was
    verified when, and finds what went wrong on the disk, in a cache that other programs fill too. Whoever
    wants the hash afterwards has it for nothing (`hash_file`).

    Raises:
        WeightsError: absent and offline, not to be downloaded, or not the file it should be; such a file is
            removed from the cache. The message says what to do.
    """
    path, promised = _cached(file), ""
    if path is None:
        # asked first: what the download would try for minutes (no network) is known here within seconds
        with _explaining(file, "the hub cannot be reached"):
            promised = _promised(file)
        with _explaining(file, "the download broke off"):
            path = _download(file)
    _verify(file, path, promised)
    return path


def _cached(file: HubFile) -> Path | None:
    # huggingface_hub reads this when it is imported, here at the earliest. Without it each request would name
    # torch and the program that runs us, and another one would ask for a list of such programs.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(file.repository, file.name)
    except (OSError, ValueError):
        # a cache that cannot be read or is rubbish holds nothing; a download says what is wrong with it
        return None
    return Path(found) if isinstance(found, str) else None


def _promised(file: HubFile) -> str:
    """The checksum that the hub states: SHA-256 of large files, something else of others, "" if it is busy."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return get_hf_file_metadata(hf_hub_url(file.repository, file.name)).etag or ""
    except HfHubHTTPError:
        # what the hub answers is for the download, which asks again where that may help
        return ""


def _download(file: HubFile) -> Path:
    from huggingface_hub import hf_hub_download

    with warnings.catch_warnings():
        # of a disk that is too small huggingface_hub only warns, and then fills it
        warnings.filterwarnings("error", message=_TOO_SMALL)
        path = Path(hf_hub_download(file.repository, file.name))
    if blob := _target(path):
        # left of the same file by killed processes; others that write it now would have had to wait for us
        for half in blob.parent.glob(f"{blob.name}.*incomplete"):
            with suppress(OSError):
                half.unlink()
    return path


def _target(path: Path) -> Path | None:
    """Where a link leads, one step; None if it is none."""
    if not path.is_symlink():
        return None
    target = path.parent / path.readlink()
    return target.parent.resolve() / target.name


def _verify(file: HubFile, path: Path, promised: str) -> None:
    """Refuses and removes a file whose bytes are not those that the hub and our table say.

    Args:
        file: what it should be.
        path: in the cache; a link to a file that is named by the checksum which the hub stated
            (https://huggingface.co/docs/hub/local-cache), except where the system has no links.
        promised: by the hub just now, "" if it was not asked.
    """
    actual = hash_file(path)
    if blob := _target(path):
        promised = blob.name
    intact = promised == actual or not _SHA256.fullmatch(promised)
    if intact and actual.startswith(file.sha256):
        return
    try:
        _remove(path)
        removed = "it was removed from the cache"
    except OSError as error:
        removed = f"it cannot be removed ({error.strerror}), so delete {path} yourself"
    if promised == actual:
        raise WeightsError(
            f"{_url(file)}: not the file that densevit knows (SHA-256 {actual[:12]}, expected "
            f"{file.sha256[:12]}); {removed}; update densevit, or pass a file you trust as {_GIVEN}"
        )
    expected = file.sha256 if intact else promised
    raise WeightsError(
        f"{_url(file)}: the copy on this machine is damaged (SHA-256 {actual[:12]}, expected "
        f"{expected[:12]}); {removed}; run again to download it afresh"
    )


def _remove(path: Path) -> None:
    """Deletes a file of the cache and, inside the cache, all that it leads to."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE).resolve()
    step: Path | None = path
    while step is not None and (step == path or cache in step.parents):
        target = _target(step)
        step.unlink(missing_ok=True)
        step = target


def _url(file: HubFile) -> str:
    from huggingface_hub.constants import ENDPOINT

    return f"{ENDPOINT}/{file.repository}/resolve/main/{file.name}"


@contextmanager
def _explaining(file: HubFile, otherwise: str) -> Iterator[None]:
    """Errors of the hub in one line of ours.

    Args:
        file: what is being fetched.
        otherwise: what went wrong if it is none of the things that we know.
    """
    try:
        yield
    except Exception as error:  # the hub's, the HTTP client's and the system's, which change with versions
        raise WeightsError(f"{_url(file)}: {_explain(file, error, otherwise)}") from error


def _explain(file: HubFile, error: Exception, otherwise: str) -> str:
    """What went wrong, and what to do."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE
    from huggingface_hub.errors import FileMetadataError, GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

    causes = list(_causes(error))
    systems = [cause for cause in causes if isinstance(cause, OSError)]
    move = f"set {'HF_HUB_CACHE' if 'HF_HUB_CACHE' in os.environ else 'HF_HOME'} to a folder"
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
        return f"not on this machine, and HF_HUB_OFFLINE forbids to download it; unset that, or {_ELSEWHERE}"
    # of hf_xet, which is not Python, only the words have arrived
    full = (os.strerror(errno.ENOSPC), _TOO_SMALL)
    if any(cause.errno in _FULL for cause in systems) or any(words in str(error) for words in full):
        return f"no room for it in {HF_HUB_CACHE} ({first_line(error)}); free some, or {move} on another disk"
    # errors of sockets have no file name
    if named := [cause for cause in systems if cause.filename is not None]:
        what = f"{named[0].strerror}: {named[0].filename}"
        return f"the cache {HF_HUB_CACHE} cannot be used ({what}); {move} that can be written to"
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        page = f"{ENDPOINT}/{file.repository}"
        return f"the repository is gated; accept its terms at {page} and run 'hf auth login', or {_ELSEWHERE}"
    answers = [cause.response for cause in causes if isinstance(cause, HfHubHTTPError)]
    if status := next((answer.status_code for answer in answers if answer is not None), None):
        return f"{_answer(status)}, or {_ELSEWHERE}"
    if any(isinstance(cause, FileMetadataError) for cause in causes):
        return f"what answers there is no hub; check HF_ENDPOINT, proxy and network, or {_ELSEWHERE}"
    said = f"{type(error).__name__}: {first_line(error)}"
    return f"not on this machine, and {otherwise} ({said}); run again when there is a network, or {_ELSEWHERE}"


def _answer(status: int) -> str:
    if status in (401, 403):
        reason = (
            f"the hub refuses it (status {status}): the repository is gone or private, or your token is not valid"
        )
        return f"{reason}; try 'hf auth logout'"
    if status in (404, 410):
        return f"the hub has no such file any more (status {status}); update densevit"
    return f"the hub cannot answer now (status {status}); run again later"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
