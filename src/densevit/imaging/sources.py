"""Find the images that files, folders and patterns mean, and give each a place of its own among the results."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from densevit.imaging.types import ImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".mpo")
"""Of files that count as images inside a folder."""


@dataclass(frozen=True)
class Source:
    """An image file, and the path of its results below the output folder, without suffix."""

    path: Path
    stem: Path


def find_images(texts: Iterable[str], *, exclude: Path | None = None) -> tuple[list[Source], list[ImageError]]:
    """Find the images that the texts mean.

    A folder means all images below it, a text with `*`, `?` or `[` the files that match (`**` crosses
    folders), any other text a file. Results keep the sub-folders below the folder that all sources share;
    images that differ only in their suffix keep it in their stem.

    Args:
        texts: what the user gave.
        exclude: the output folder. Images in it count as results of an earlier run and are left out, unless
            the folder or pattern given lies in it too.

    Returns:
        The images, each once, and an error for each text that means no image. A file that does not exist is
        returned as a source; reading it reports the error.
    """
    errors: list[ImageError] = []
    paths: dict[Path, None] = {}
    bases: list[Path] = []
    texts = list(texts)
    for text in texts:
        found, base, error = _expand(text, alone=len(texts) == 1)
        if exclude is not None and found != [_make_absolute(text)]:
            found = [path for path in found if not _is_result(path, base, _make_absolute(exclude))]
            error = error or (
                "" if found else f"{text}: holds only results of an earlier run; give another folder"
            )
        bases.append(base)
        paths.update(dict.fromkeys(found))
        if error:
            errors.append(ImageError(error))
    if not paths:
        return [], errors
    common = Path(os.path.commonpath(bases))
    return _assign_stems([path.relative_to(common) for path in paths], common), errors


def _assign_stems(paths: list[Path], common: Path) -> list[Source]:
    """Stems without suffix where they are unambiguous, compared as on a file system that ignores case."""
    short = Counter(str(path.with_suffix("")).lower() for path in paths)
    stems = [path.with_suffix("") if short[str(path.with_suffix("")).lower()] == 1 else path for path in paths]
    if len({str(stem).lower() for stem in stems}) < len(stems):
        # a.jpg beside a.png and a.jpg.png: then all keep their suffix
        stems = paths
    return [Source(common / path, stem) for path, stem in zip(paths, stems, strict=True)]


def _make_absolute(text: str | Path) -> Path:
    return Path(os.path.abspath(text))  # noqa: PTH100 - resolve() would follow links out of the folder


def _is_result(path: Path, base: Path, out: Path) -> bool:
    return path.is_relative_to(out) and not base.is_relative_to(out)


def _expand(text: str, *, alone: bool) -> tuple[list[Path], Path, str]:
    """-> absolute paths, the folder that their results are relative to, and what is wrong or ""."""
    path = _make_absolute(text)
    if not text.strip():
        return [], path, "'': an empty source; give an image, a folder or a pattern"
    try:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            missing = f"{text}: no image in this folder (looked for {', '.join(SUFFIXES)})"
            return found, path if alone else path.parent, "" if found else missing
        if not path.exists() and glob.has_magic(text):
            matches = sorted(_make_absolute(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207
            found = [match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
            fixed = _make_absolute(text[: _find_magic(text)] + "_").parent
            return found, fixed, "" if found else f"{text}: no image matches this pattern"
    except OSError as error:
        return [], path.parent, f"{text}: cannot be listed ({error.strerror}); make it readable"
    return [path], path.parent, ""


def _find_magic(text: str) -> int:
    return min(text.index(sign) for sign in "*?[" if sign in text)
