"""Published weights: from the cache of the Hugging Face hub or downloaded into it, and never used unverified.

huggingface_hub keeps the cache, resumes downloads and shows the progress bar, on stderr and only where that is a
terminal. A download resumes where its connection broke; when it fails for good, what it left is deleted.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from densevit.core.errors import DensevitError, UnavailableError
from densevit.core.files import FULL_DISK_ERRNOS
from densevit.core.messages import first_line
from densevit.weights.files import WeightsError, hash_file

_SHA256 = re.compile("[0-9a-f]{64}")
_GIVEN = "weights=FILE or --weights FILE"
_ELSEWHERE = f"fetch that file elsewhere and pass it as {_GIVEN}"


@dataclass(frozen=True)
class HubFile:
    """A published file.

    Attributes:
        repository: on the Hugging Face hub, OWNER/NAME.
        name: of the file in it, with its folders.
        sha256: of its bytes, in lower-case hex: all 64 digits or the leading ones that are known. Where no digit
            is known, the file is verified against the checksum that the hub states.
    """

    repository: str
    name: str
    sha256: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{0,64}", self.sha256):
            raise ValueError(f"{self.name}: sha256 must be up to 64 lower-case hex digits, got {self.sha256!r}")


def is_cached(file: HubFile) -> bool:
    """Whether a file is in the cache on this machine; it is not read."""
    return _find_cached(file) is not None


def fetch(file: HubFile) -> Path:
    """A file from the cache, without any network; downloaded into the cache where it is not there.

    Every process that uses a file hashes its bytes: that takes 0.1 s for 200 MB, needs no record of what was
    verified when, and finds damage on the disk, in a cache that other programs fill too. `hash_file` gives the
    hash again at no cost.

    Raises:
        UnavailableError: not in the cache, and the network, the hub or disk space is missing.
        WeightsError: the hub refuses the file, or it is not the file it should be; such a file is removed from
            the cache. Both messages say what to do.
    """
    path, promised = _find_cached(file), ""
    if path is None:
        # asked first: a download without a network tries for minutes, this fails within seconds
        with _explain_errors(file, "the hub cannot be reached"):
            promised, size = _ask(file)
        _require_space(file, size)
        with _explain_errors(file, "the download broke off"):
            path = _download(file)
    _verify(file, path, promised)
    return path


def _find_cached(file: HubFile) -> Path | None:
    # huggingface_hub reads this when it is imported, here at the earliest. Without it each request would name
    # torch and the program that runs us, and another request would fetch a list of such programs.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(file.repository, file.name)
    except (OSError, ValueError):
        # a cache that is damaged or cannot be read holds nothing; a download says what is wrong with it
        return None
    return Path(found) if isinstance(found, str) else None


def _ask(file: HubFile) -> tuple[str, int | None]:
    """The checksum and size that the hub states, "" and None if it is busy.

    The checksum is the SHA-256 of large files, something else of others.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    try:
        metadata = get_hf_file_metadata(hf_hub_url(file.repository, file.name))
    except HfHubHTTPError:
        # the download meets the same answer, and asks again where that may help
        return "", None
    return metadata.etag or "", metadata.size


def _require_space(file: HubFile, size: int | None) -> None:
    """Refuses a file that is larger than the free space: huggingface_hub only warns, and then fills the disk."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for folder in (Path(HF_HUB_CACHE), *Path(HF_HUB_CACHE).parents):
        try:
            free = shutil.disk_usage(folder).free
        except OSError:  # this part of the cache does not exist yet
            continue
        if size is not None and free < size:
            raise UnavailableError(
                f"{_url(file)}: {_describe_full_disk(f'{size / 1e6:.1f} MB needed, {free / 1e6:.1f} MB free')}"
            )
        return


def _download(file: HubFile) -> Path:
    from huggingface_hub import hf_hub_download

    path = Path(hf_hub_download(file.repository, file.name))
    if blob := _read_link(path):
        # killed processes left these of the same file; a process that writes it now would have waited for us
        for half in blob.parent.glob(f"{blob.name}.*incomplete"):
            with suppress(OSError):
                half.unlink()
    return path


def _read_link(path: Path) -> Path | None:
    """Where a link leads, one step; None for a file that is not a link."""
    if not path.is_symlink():
        return None
    target = path.parent / path.readlink()
    return target.parent.resolve() / target.name


def _verify(file: HubFile, path: Path, promised: str) -> None:
    """Refuses and removes a file whose bytes are not those that the hub and our table state.

    Args:
        file: what it should be.
        path: in the cache; a link to a file that is named by the checksum which the hub stated
            (https://huggingface.co/docs/hub/local-cache), except where the system has no links.
        promised: the checksum that the hub stated just now, "" if it was not asked.
    """
    actual = hash_file(path)
    if blob := _read_link(path):
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
            f"{file.sha256[:12]}); {removed}; update densevit, or pass a file that you trust as {_GIVEN}"
        )
    expected = file.sha256 if intact else promised
    raise WeightsError(
        f"{_url(file)}: the copy on this machine is damaged (SHA-256 {actual[:12]}, expected "
        f"{expected[:12]}); {removed}; run again to download it anew"
    )


def _remove(path: Path) -> None:
    """Deletes a file of the cache and, inside the cache, every file that it leads to."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE).resolve()
    step: Path | None = path
    while step is not None and (step == path or cache in step.parents):
        target = _read_link(step)
        step.unlink(missing_ok=True)
        step = target


def _url(file: HubFile) -> str:
    from huggingface_hub.constants import ENDPOINT

    return f"{ENDPOINT}/{file.repository}/resolve/main/{file.name}"


@contextmanager
def _explain_errors(file: HubFile, otherwise: str) -> Iterator[None]:
    """Turns errors of the hub into users' errors of one line.

    Args:
        file: what is being fetched.
        otherwise: what went wrong if it is none of the known causes.
    """
    try:
        yield
    except Exception as error:  # the hub's, the HTTP client's and the system's, which change with versions
        raise _explain(file, error, otherwise) from error


def _explain(file: HubFile, error: Exception, otherwise: str) -> DensevitError:
    """The user's error, to be raised: what went wrong, and what to do."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE
    from huggingface_hub.errors import FileMetadataError, GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

    def unavailable(text: str) -> UnavailableError:
        return UnavailableError(f"{_url(file)}: {text}")

    causes = list(_list_causes(error))
    system = [cause for cause in causes if isinstance(cause, OSError)]
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
        return unavailable(
            f"not on this machine, and HF_HUB_OFFLINE forbids to download it; unset that, or {_ELSEWHERE}"
        )
    # errors of hf_xet, which is not written in Python, carry the words alone
    if any(cause.errno in FULL_DISK_ERRNOS for cause in system) or os.strerror(errno.ENOSPC) in str(error):
        return unavailable(_describe_full_disk(first_line(error)))
    # errors of sockets have no file name
    if named := [cause for cause in system if cause.filename is not None]:
        what = f"{named[0].strerror}: {named[0].filename}"
        return unavailable(f"the cache {HF_HUB_CACHE} cannot be used ({what}); {_move()} that can be written to")
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        page = f"{ENDPOINT}/{file.repository}"
        terms = f"accept its terms at {page} and run 'hf auth login'"
        return WeightsError(f"{_url(file)}: the repository is gated; {terms}, or {_ELSEWHERE}")
    answers = [cause.response for cause in causes if isinstance(cause, HfHubHTTPError)]
    if status := next((answer.status_code for answer in answers if answer is not None), None):
        if refusal := _describe_refusal(status):
            return WeightsError(f"{_url(file)}: {refusal}, or {_ELSEWHERE}")
        return unavailable(f"the hub cannot answer now (status {status}); run again later, or {_ELSEWHERE}")
    if any(isinstance(cause, FileMetadataError) for cause in causes):
        return unavailable(
            f"what answers there is not a hub; check HF_ENDPOINT, proxy and network, or {_ELSEWHERE}"
        )
    reason = f"{type(error).__name__}: {first_line(error)}"
    return unavailable(
        f"not on this machine, and {otherwise} ({reason}); run again when there is a network, or {_ELSEWHERE}"
    )


def _describe_full_disk(reason: str) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return f"no space for it in {HF_HUB_CACHE} ({reason}); free some, or {_move()} on another disk"


def _move() -> str:
    """How to put the cache elsewhere: HF_HOME has no effect where HF_HUB_CACHE is set."""
    return f"set {'HF_HUB_CACHE' if 'HF_HUB_CACHE' in os.environ else 'HF_HOME'} to a folder"


def _describe_refusal(status: int) -> str:
    """What an answer of the hub means where trying again does not help, "" for others."""
    if status in (401, 403):
        reason = "the repository is gone or private, or your token is not valid"
        return f"the hub refuses it (status {status}): {reason}; try 'hf auth logout'"
    if status in (404, 410):
        return f"the hub no longer has this file (status {status}); update densevit"
    return ""


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
