"""Files, folders and patterns become a list of pictures, each with a place of its own among the results."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from densevit.imaging.types import PictureError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".mpo")
"""What counts as a picture inside a folder."""


@dataclass(frozen=True)
class Source:
    """A picture file, and the path without suffix that its results take below the output folder."""

    path: Path
    stem: Path


def find(texts: Iterable[str]) -> tuple[list[Source], list[PictureError]]:
    """The pictures that the texts mean.

    A folder stands for all pictures below it, a text with `*`, `?` or `[` for the files that match (`**`
    crosses folders), anything else for a file. Results keep the sub-folders below what all sources share;
    two pictures that differ in suffix only keep it in their stem.

    Returns:
        The pictures, each once, and an error for each text that means none. A file that does not exist is
        returned as a source, so that reading it says so.
    """
    errors: list[PictureError] = []
    paths: dict[Path, None] = {}
    bases: list[Path] = []
    texts = list(texts)
    for text in texts:
        found, base, error = _expand(text, alone=len(texts) == 1)
        bases.append(base)
        paths.update(dict.fromkeys(found))
        if error:
            errors.append(PictureError(error))
    if not paths:
        return [], errors
    common = Path(os.path.commonpath(bases))
    stems = Counter(path.with_suffix("") for path in paths)
    sources = []
    for path in paths:
        stem = path.with_suffix("") if stems[path.with_suffix("")] == 1 else path
        sources.append(Source(path, stem.relative_to(common)))
    return sources, errors


def _expand(text: str, *, alone: bool) -> tuple[list[Path], Path, str]:
    """-> absolute paths, the folder that their results are relative to, what is wrong."""
    path = Path(os.path.abspath(text))  # noqa: PTH100 - resolve() would follow links out of the folder
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        missing = f"{text}: no picture in this folder (looked for {', '.join(SUFFIXES)})"
        return found, path if alone else path.parent, "" if found else missing
    if not path.exists() and glob.has_magic(text):
        matches = sorted(Path(os.path.abspath(match)) for match in glob.glob(text, recursive=True))  # noqa: PTH100, PTH207
        found = [match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
        fixed = Path(os.path.abspath(text[: _first_magic(text)] + "_")).parent  # noqa: PTH100
        return found, fixed, "" if found else f"{text}: no picture matches this pattern"
    return [path], path.parent, ""


def _first_magic(text: str) -> int:
    return min(text.index(sign) for sign in "*?[" if sign in text)
