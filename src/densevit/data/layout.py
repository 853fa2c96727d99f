"""Check the layout of folders; one line says what was looked for, what is there, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from densevit.data.base import DataError

_log = logging.getLogger("densevit")

_SHOWN = 8


def require_folder(
    root: Path,
    inner: str,
    *,
    layout: str,
    suits: Callable[[Path], bool] = Path.is_dir,
    splits: Sequence[str] = (),
) -> Path:
    """`root/inner`, which must be a folder.

    Args:
        root: the folder that the user gave.
        inner: what must be in it.
        layout: the expected layout, for the message.
        suits: whether another folder can be the intended root, where holding `inner` is not enough to tell.
        splits: the splits that exist, in place of the one asked for.

    Raises:
        DataError: it is not a folder; the message says if the root is one level too high or low, and which splits
            exist.
    """
    folder = root / inner
    if folder.is_dir():
        return folder
    if root.is_file():
        raise DataError(f"{root}: is a file; unpack it and give the folder ({layout})")
    if not root.is_dir():
        raise DataError(f"{folder}: no such folder, and no {root} either; check the path ({layout})")
    if (right := _find_root(root, inner, suits)) is not None:
        level = "low" if root.resolve().is_relative_to(right.resolve()) else "high"
        raise DataError(f"{folder}: no such folder; the path is one level too {level}: give {right} instead")
    if splits:
        raise DataError(f"{folder}: no such folder; existing splits: {', '.join(splits)}")
    raise DataError(f"{folder}: no such folder; looked for {layout}; {root} holds {describe_contents(root)}")


def _find_root(root: Path, inner: str, suits: Callable[[Path], bool]) -> Path | None:
    """The folder below or above `root` that looks like the intended root."""
    below = sorted(path for path in root.iterdir() if path.is_dir())
    above = [root.resolve().parent, root.resolve().parent.parent]
    for candidate in (*below, *above):
        if (candidate / inner).is_dir() and suits(candidate):
            return candidate
    return None


def list_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; empty if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def describe_contents(folder: Path) -> str:
    """The contents of a folder, in a few words."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) + more) or "nothing"


def check_labels(labels: Sequence[Path], *, folder: Path, remedy: str, pattern: str = "*.png") -> None:
    """Refuses images without labels, and warns of labels without images, as in a part of a data set.

    Args:
        labels: the label file of each image, which must exist.
        folder: the folder of all label files, which may be in sub-folders.
        remedy: what to do about missing labels.
        pattern: which files of `folder` are label files.

    Raises:
        DataError: labels are missing; the message says the first file and the number of such images.
    """
    missing = [path for path in labels if not path.is_file()]
    if missing:
        raise DataError(
            f"{missing[0]}: no labels for this image ({len(missing)} of {len(labels)} images lack labels); "
            f"{remedy}"
        )
    taken = set(labels)
    existing = (path for path in folder.rglob(pattern) if not path.name.startswith("."))
    if left := sorted(path for path in existing if path not in taken):
        _log.warning(
            "%s: labels without an image (%d such files; %d images have labels)",
            left[0],
            len(left),
            len(labels),
        )
