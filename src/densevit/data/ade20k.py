"""ADE20K in its scene parsing version: 150 classes (Zhou et al. 2017, ADEChallengeData2016.zip)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from densevit.core.classes import read_class_table
from densevit.data.base import DataError, SegmentationSample, read_label_image, read_pair
from densevit.data.layout import check_labels, describe_contents, list_folders, require_folder
from densevit.data.values import make_value_table, map_values

_NAME = "ADEChallengeData2016"
_FOLDERS = {"train": "training", "val": "validation"}
_TABLE = make_value_table({value: value - 1 for value in range(1, 151)}, ignored=[0])
_FULL = (
    "this looks like the full ADE20K, which has thousands of classes and colored labels *_seg.png; "
    f"use {_NAME}.zip, which has the 150 classes"
)


class ADE20K:
    """ADE20K: `root/images/{training,validation}/*.jpg` and `root/annotations/{training,validation}/*.png`.

    Label values 1..150 are the classes, 0 is ignored.

    Args:
        root: ADEChallengeData2016, or the folder that contains it.
        split: "train" or "val"; "training" and "validation" are accepted as well.

    Raises:
        DataError: a folder is missing, an image has no labels, or it is the full ADE20K.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, root: Path, split: str) -> None:
        table = read_class_table("ade20k")
        self.class_names = table.names
        self.palette = table.palette
        if (root / _NAME).is_dir():
            root = root / _NAME
        inner = _FOLDERS.get(split, split)
        if _is_full(root):
            raise DataError(f"{root}: {_FULL}")
        short = {folder: name for name, folder in _FOLDERS.items()}
        splits = [short.get(name, name) for name in list_folders(root / "images")]
        layout = f"{_NAME} with images/validation/*.jpg and annotations/validation/*.png"
        folder = require_folder(root, f"images/{inner}", layout=layout, splits=splits)
        self.images = sorted(folder.glob("*.jpg"))
        if not self.images:
            full = next(folder.rglob("*_seg.png"), None) is not None
            raise DataError(
                f"{folder}: {_FULL if full else f'no *.jpg in it; it holds {describe_contents(folder)}'}"
            )
        labels = root / "annotations" / inner
        self.annotations = [labels / f"{path.stem}.png" for path in self.images]
        colored = any((folder / f"{path.stem}_seg.png").is_file() for path in self.images[:1])
        if colored or next(labels.glob("*_seg.png"), None) is not None:
            raise DataError(f"{folder if colored else labels}: {_FULL}")
        check_labels(self.annotations, folder=labels, remedy=f"unpack {_NAME}.zip again; it holds both folders")

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample; value 0 becomes 255, value v class v - 1.

        Raises:
            DataError: the labels have other values, or another size than the image.
        """
        path = self.annotations[index]
        values = read_label_image(path, remedy=_FULL)
        allowed = f"the allowed values are 0..150; use annotations/ of {_NAME}.zip unchanged"
        labels = map_values(values, _TABLE, path=path, allowed=allowed)
        return read_pair(path.stem, self.images[index], path, labels)


def _is_full(root: Path) -> bool:
    return root.is_dir() and (
        (root / "images" / "ADE").is_dir() or next(root.glob("index_ade20k*"), None) is not None
    )
