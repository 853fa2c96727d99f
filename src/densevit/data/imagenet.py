"""ImageNet (Russakovsky et al. 2015), or any images in one folder per class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from densevit import imaging
from densevit.data.base import ClassificationSample, DataError, list_images
from densevit.data.layout import list_folders, require_folder

_WNID = re.compile(r"n\d{8}")
_LAYOUT = "SPLIT/CLASS/*.JPEG, one folder per class, such as val/n01440764/"


class ImageNetFolder:
    """ImageNet: `root/{split}/{wnid}/*.JPEG`; the classes are the sorted names of the folders.

    Args:
        root: folder of the data set.
        split: sub-folder, such as "train" or "val".
        wnids: known class folders; if the split has any of them, it must have no others.

    Raises:
        DataError: a folder is missing, images are not in class folders, or only some folders are in `wnids`.
    """

    task: ClassVar[str] = "classification"

    def __init__(self, root: Path, split: str, *, wnids: Sequence[str] | None = None) -> None:
        folder = require_folder(
            root,
            split,
            layout=_LAYOUT,
            suits=lambda other: bool(list_folders(other / split)),
            splits=_find_splits(root),
        )
        names = list_folders(folder)
        if not names:
            raise DataError(_describe_flat_folder(folder))
        known = tuple(wnids or ())
        unknown = [name for name in names if name not in known]
        if known and 0 < len(unknown) < len(names):
            raise DataError(
                f"{folder / unknown[0]}: not one of the {len(known)} classes ({len(unknown)} such folders); "
                f"class folders have names like {known[0]}"
            )
        self.class_names = tuple(names)
        index = {name: number for number, name in enumerate(names)}
        self.images: list[tuple[Path, int]] = []
        for name in names:
            try:
                self.images += [(path, index[name]) for path in list_images(folder / name)]
            except DataError as error:
                raise DataError(f"{error}; download its images or remove the folder") from error

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> ClassificationSample:
        """Reads one sample.

        Raises:
            ImageError: the image cannot be read.
        """
        path, label = self.images[index]
        return ClassificationSample(f"{path.parent.name}/{path.stem}", imaging.read(path), label)


def is_wnid(name: str) -> bool:
    """Whether a name is a WordNet id as ImageNet uses them: n and eight digits."""
    return _WNID.fullmatch(name) is not None


def _find_splits(root: Path) -> list[str]:
    """Finds the sub-folders that contain class folders.

    Raises:
        DataError: the root itself contains class folders.
    """
    names = list_folders(root)
    if names and all(map(is_wnid, names)):
        raise DataError(
            f"{root}: holds class folders, so the path is one level too low; give its parent, "
            "and the name of this folder as --split"
        )
    return [name for name in names if list_folders(root / name)]


def _describe_flat_folder(folder: Path) -> str:
    images = sum(path.suffix.lower() in imaging.SUFFIXES for path in folder.iterdir())
    if not images:
        return f"{folder}: no class folder in it; looked for {_LAYOUT}"
    return (
        f"{folder}: {images} images are not in class folders; move each into the folder of its wnid. "
        "For ImageNet's val, ILSVRC2012_validation_ground_truth.txt of the devkit lists the classes by "
        "the ILSVRC2012_ID of meta.mat, which is not the order of the wnids"
    )
