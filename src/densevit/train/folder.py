"""The folder of a training: one training at a time, and nothing left of those that were killed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from densevit.core.errors import UsageError

LOCK_NAME = "train.lock"
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.\w+")
"""Names of `core.files.write_atomically`'s temporary files."""


@contextmanager
def occupy_folder(out: Path) -> Iterator[None]:
    """Keeps other trainings out of a folder, and removes what killed ones left in it.

    The system releases the lock of a process that ends, however it ends.

    Raises:
        UsageError: another training runs in this folder.
    """
    lock = FileLock(out / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"{out}: another training runs in this folder; wait for it, or choose another --out"
        ) from None
    try:
        for path in out.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
        yield
    finally:
        # while it is held, so that nobody has opened the file that is removed and then locks it
        with suppress(OSError):
            (out / LOCK_NAME).unlink()
        lock.release()
