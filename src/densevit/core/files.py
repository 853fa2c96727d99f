"""Write files so that nobody ever sees half of one, and say in one line why one cannot be written."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from densevit.core.errors import DensevitError, InputError, UnavailableError

FULL_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system answers when a disk or a quota is full, or a file is larger than its file system allows."""


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that replaces it when the block succeeds, and is deleted when it fails.

    Args:
        path: the file to write; its folder must exist.

    Yields:
        The temporary file, empty, with the same suffix and with the permissions of any new file.

    Raises:
        UnavailableError: the disk is full.
        InputError: the folder is missing, or the file may not be written there.
        OSError: as the block raises it, where it is about another file or is not about files at all.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        # not `tempfile`, whose files only the owner may read
        temporary.open("xb").close()
    except OSError as error:
        raise explain_write_error(path, error) from error
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if _is_about(error, temporary):
            raise explain_write_error(path, error) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Create a folder and the folders above it, where they do not exist yet.

    Raises:
        UnavailableError: the disk is full.
        InputError: a file is in the way, or the folder may not be created there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_write_error(path, error) from error


def explain_write_error(path: Path, error: OSError) -> DensevitError:
    """The user's error for a file or folder that cannot be written: one line with what to do, to be raised."""
    reason = error.strerror or type(error).__name__
    if error.errno in FULL_DISK_ERRNOS:
        return UnavailableError(
            f"{path}: no space left to write it ({reason}); free some, or write to another disk"
        )
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"{path}: the name is too long; choose a shorter one")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path}: is a folder; choose another file name, or remove the folder")
    if isinstance(error, FileExistsError):  # only of folders: files are replaced
        return InputError(f"{path}: is a file, not a folder; choose another folder")
    if isinstance(error, NotADirectoryError):
        file = next((parent for parent in path.parents if parent.is_file()), path.parent)
        return InputError(f"{path}: {file} is a file, not a folder; choose another folder")
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such folder; create {path.parent} first")
    return InputError(f"{path}: cannot be written ({reason}); choose a folder that you may write to")


def _sync(path: Path) -> None:
    """The content must be on the disk before the name is: a crash between them would leave an empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _is_about(error: OSError, temporary: Path) -> bool:
    """Whether an error of the block is about the file that it writes.

    The block may also read other files or use the network, whose errors are not ours to explain. Errors of a
    `write` name no file.
    """
    if error.filename is None:
        return error.errno in FULL_DISK_ERRNOS | {errno.EIO, errno.EROFS}
    if os.fspath(error.filename) != os.fspath(temporary):
        return False
    # gone together with its folder: somebody deleted that; gone alone: the block took it away, which is a bug
    return not isinstance(error, FileNotFoundError) or not temporary.parent.is_dir()
