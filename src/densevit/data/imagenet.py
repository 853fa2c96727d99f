"""ImageNet's folders, or any pictures in one folder per class (Russakovsky et al. 2015)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from densevit import imaging
from densevit.data.base import ClassificationSample, DataError, pictures_in
from densevit.data.layout import folders_in, require_folder

_WNID = re.compile(r"n\d{8}")
_LAYOUT = "SPLIT/CLASS/*.JPEG, one folder per class, such as val/n01440764/"


class ImageNetFolder:
    """`root/{split}/{wnid}/*.JPEG`; the classes are the sorted names of the folders.

    Args:
        root: the folder.
        split: a sub-folder, such as "train" or "val".
        wnids: folders of which some are among these must all be.

    Raises:
        DataError: the folders are not there, pictures lie flat, or some folders are among `wnids` and others not.
    """

    def __init__(self, root: Path, split: str, *, wnids: Sequence[str] | None = None) -> None:
        folder = require_folder(
            root,
            split,
            layout=_LAYOUT,
            suits=lambda other: bool(folders_in(other / split)),
            splits=_splits(root),
        )
        names = folders_in(folder)
        if not names:
            raise DataError(_flat(folder))
        known = tuple(wnids or ())
        unknown = [name for name in names if name not in known]
        if known and 0 < len(unknown) < len(names):
            raise DataError(
                f"{folder / unknown[0]}: not one of the {len(known)} classes ({len(unknown)} folders are none); "
                f"classes are named like {known[0]}"
            )
        self.class_names = tuple(names)
        index = {name: number for number, name in enumerate(names)}
        self.pictures: list[tuple[Path, int]] = []
        for name in names:
            try:
                self.pictures += [(path, index[name]) for path in pictures_in(folder / name)]
            except DataError as error:
                raise DataError(f"{error}; fetch its pictures or remove the folder") from error

    def __len__(self) -> int:
        """How many samples."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> ClassificationSample:
        """Reads one sample.

        Raises:
            PictureError: a picture that cannot be read.
        """
        path, label = self.pictures[index]
        return ClassificationSample(f"{path.parent.name}/{path.stem}", imaging.read(path), label)


def is_wnid(name: str) -> bool:
    """Whether a class is named as ImageNet names it: n and eight digits."""
    return _WNID.fullmatch(name) is not None


def _splits(root: Path) -> list[str]:
    """Sub-folders with class folders in them; none where the root is itself a split."""
    names = folders_in(root)
    if names and all(map(is_wnid, names)):
        raise DataError(
            f"{root}: holds class folders; the path is one level too low: give its parent, and --split"
        )
    return [name for name in names if folders_in(root / name)]


def _flat(folder: Path) -> str:
    pictures = sum(path.suffix.lower() in imaging.SUFFIXES for path in folder.iterdir())
    if not pictures:
        return f"{folder}: no class folder in it; looked for {_LAYOUT}"
    return (
        f"{folder}: {pictures} pictures lie flat, without class folders; move each into the folder of its wnid. "
        "For ImageNet's val, ILSVRC2012_validation_ground_truth.txt of the devkit tells their classes as "
        "ILSVRC2012_ID of meta.mat, whose order is not that of the wnids"
    )
