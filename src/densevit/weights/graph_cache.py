"""Cached graphs of checkpoints: found by content, bounded in size, never half written."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from densevit.core.errors import UnavailableError

MAX_BYTES = 4 * 2**30
"""Above this, the least recently used graphs are deleted."""

_ABANDONED_S = 3600


def cache_folder() -> Path:
    """`$DENSEVIT_CACHE`, `$XDG_CACHE_HOME/densevit` or `~/.cache/densevit`, the first that is set.

    Raises:
        UnavailableError: none is set, and the user has no home folder.
    """
    if chosen := os.environ.get("DENSEVIT_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "densevit"
    try:
        return Path.home() / ".cache" / "densevit"
    except RuntimeError as error:
        raise UnavailableError(
            "this user has no home folder to cache graphs in; set DENSEVIT_CACHE to a folder"
        ) from error


def graph_path(*identity: str) -> Path:
    """The path of the graph with that identity (weights hash, model, converter version), cached or not."""
    key = hashlib.sha256("\n".join(identity).encode()).hexdigest()
    return cache_folder() / "graphs" / f"{key[:32]}.onnx"


def mark_used(path: Path) -> None:
    """Marks a graph as used now."""
    try:
        os.utime(path)
    except OSError:
        # the cache is read-only, or another process deleted the graph: it can be used all the same
        return


def trim_cache(keep: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Deletes the least recently used graphs until the rest fits; `keep` stays in any case."""
    entries = []
    now = time.time()
    for path in keep.parent.glob("*.onnx"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if not path.name.startswith("."):
            entries.append((status.st_mtime, status.st_size, path))
        elif now - status.st_mtime > _ABANDONED_S:
            # a recent hidden file is being written by another process, an old one was left by a killed process
            with suppress(OSError):
                path.unlink()
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= max_bytes:
            return
        if path != keep:
            with suppress(OSError):
                # where another process uses it and the system refuses (Windows), it stays for the next time
                path.unlink()
            total -= size
