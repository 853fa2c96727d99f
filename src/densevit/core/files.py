"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when not.

    Args:
        path: the file to be; its folder must exist.

    Yields:
        The temporary file, empty, of the same suffix and with the permissions of any new file.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    # not `tempfile`, whose files only the owner may read
    temporary.open("xb").close()
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
