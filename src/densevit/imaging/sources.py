"""Files, folders and patterns become a list of images, each with a place of its own among the results."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from densevit.imaging.types import ImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".mpo")
"""What counts as an image inside a folder."""


@dataclass(frozen=True)
class Source:
    """An image file, and the path without suffix that its results take below the output folder."""

    path: Path
    stem: Path


def find_images(texts: Iterable[str], *, exclude: Path | None = None) -> tuple[list[Source], list[ImageError]]:
    """The images that the texts mean.

    A folder stands for all images below it, a text with `*`, `?` or `[` for the files that match (`**`
    crosses folders), anything else for a file. Results keep the sub-folders below what all sources share;
    images that differ in suffix only keep it in their stem.

    Args:
        texts: what the user gave.
        exclude: the output folder; results of an earlier run are no images to work on when they lie in it
            and the folder or pattern given is a wider one.

    Returns:
        The images, each once, and an error for each text that means none. A file that does not exist is
        returned as a source, so that reading it says so.
    """
    errors: list[ImageError] = []
    paths: dict[Path, None] = {}
    bases: list[Path] = []
    texts = list(texts)
    for text in texts:
        found, base, error = _expand(text, alone=len(texts) == 1)
        if exclude is not None and found != [_absolute(text)]:
            found = [path for path in found if not _is_result(path, base, _absolute(exclude))]
            error = error or ("" if found else f"{text}: nothing but results of an earlier run in it")
        bases.append(base)
        paths.update(dict.fromkeys(found))
        if error:
            errors.append(ImageError(error))
    if not paths:
        return [], errors
    common = Path(os.path.commonpath(bases))
    return _with_stems([path.relative_to(common) for path in paths], common), errors


def _with_stems(paths: list[Path], common: Path) -> list[Source]:
    """Stems without suffix where that is unambiguous, compared as on a file system that ignores case."""
    short = Counter(str(path.with_suffix("")).lower() for path in paths)
    stems = [path.with_suffix("") if short[str(path.with_suffix("")).lower()] == 1 else path for path in paths]
    if len({str(stem).lower() for stem in stems}) < len(stems):
        # a.jpg beside a.png and a.jpg.png: then all keep their suffix
        stems = paths
    return [Source(common / path, stem) for path, stem in zip(paths, stems, strict=True)]


def _absolute(text: str | Path) -> Path:
    return Path(os.path.abspath(text))  # noqa: PTH100 - resolve() would follow links out of the folder


def _is_result(path: Path, base: Path, out: Path) -> bool:
    return path.is_relative_to(out) and not base.is_relative_to(out)


def _expand(text: str, *, alone: bool) -> tuple[list[Path], Path, str]:
    """-> absolute paths, the folder that their results are relative to, what is wrong."""
    path = _absolute(text)
    if not text.strip():
        return [], path, "'': an empty source names nothing; give an image, a folder or a pattern"
    try:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            missing = f"{text}: no image in this folder (looked for {', '.join(SUFFIXES)})"
            return found, path if alone else path.parent, "" if found else missing
        if not path.exists() and glob.has_magic(text):
            matches = sorted(_absolute(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207
            found = [match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
            fixed = _absolute(text[: _first_magic(text)] + "_").parent
            return found, fixed, "" if found else f"{text}: no image matches this pattern"
    except OSError as error:
        return [], path.parent, f"{text}: cannot be looked into ({error.strerror})"
    return [path], path.parent, ""


def _first_magic(text: str) -> int:
    return min(text.index(sign) for sign in "*?[" if sign in text)
