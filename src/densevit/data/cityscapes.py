"""Cityscapes: road scenes of 2048 x 1024 px in nineteen classes (Cordts et al. 2016)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from densevit.core.classes import read_class_table
from densevit.data.base import DataError, SegmentationSample, list_images, read_label_image, read_pair
from densevit.data.layout import check_labels, list_folders, require_folder
from densevit.data.values import make_value_table, map_values

_IMAGE_SUFFIX = "_leftImg8bit"
_CLASSES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label id of each class, in the order of the network's outputs."""
_LABEL_IDS = make_value_table({label: index for index, label in enumerate(_CLASSES)}, ignored=range(34))
_TRAIN_IDS = make_value_table({index: index for index in range(len(_CLASSES))}, ignored=[255])


class Cityscapes:
    """Cityscapes: `leftImg8bit/{split}/{city}/*_leftImg8bit.png`, `gtFine/{split}/{city}/*_gtFine_labelIds.png`.

    Without any label ids, `*_gtFine_labelTrainIds.png` are read instead.

    Args:
        root: folder that contains leftImg8bit and gtFine.
        split: "train" or "val"; the labels of "test" were never published.

    Raises:
        DataError: a folder is missing, or an image has no labels.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, root: Path, split: str) -> None:
        table = read_class_table("cityscapes")
        self.class_names = table.names
        self.palette = table.palette
        if split == "test":
            raise DataError(f"{root}: the labels of Cityscapes' test split were never published; use --split val")
        splits = [name for name in list_folders(root / "leftImg8bit") if name != "test"]
        layout = "leftImg8bit/SPLIT/CITY/*.png and gtFine/SPLIT/CITY/*.png"
        folder = require_folder(root, f"leftImg8bit/{split}", layout=layout, splits=splits)
        found = list_images(folder, recursive=True)
        self.images = [path for path in found if path.stem.endswith(_IMAGE_SUFFIX)]
        if not self.images:
            raise DataError(
                f"{found[0]}: not named CITY_SEQUENCE_FRAME{_IMAGE_SUFFIX}.png; rename nothing in the release"
            )
        labels = root / "gtFine" / split
        if not labels.is_dir():
            raise DataError(f"{labels}: no such folder; unpack gtFine_trainvaltest.zip beside leftImg8bit")
        ids, train_ids = (self._locate_labels(labels, kind) for kind in ("labelIds", "labelTrainIds"))
        self.train_ids = not any(path.is_file() for path in ids) and any(path.is_file() for path in train_ids)
        self.annotations = train_ids if self.train_ids else ids
        pattern = "*_labelTrainIds.png" if self.train_ids else "*_labelIds.png"
        remedy = "unpack gtFine_trainvaltest.zip beside leftImg8bit"
        check_labels(self.annotations, folder=labels, remedy=remedy, pattern=pattern)

    def _locate_labels(self, labels: Path, kind: str) -> list[Path]:
        return [
            labels / path.parent.name / f"{path.stem.removesuffix(_IMAGE_SUFFIX)}_gtFine_{kind}.png"
            for path in self.images
        ]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample; pixels outside the nineteen classes become 255.

        Raises:
            DataError: the file's name says label ids but it holds train ids or vice versa, or its size is wrong.
        """
        path = self.annotations[index]
        values = read_label_image(path, remedy="use *_labelIds.png, not *_color.png")
        if self.train_ids:
            allowed = "train ids are 0..18 and 255; these look like label ids: name them *_gtFine_labelIds.png"
            labels = map_values(values, _TRAIN_IDS, path=path, allowed=allowed)
        else:
            # every published frame shows the car's own hood, which has label id 1 and train id 255
            looks = (
                "train ids: name them *_gtFine_labelTrainIds.png" if 255 in values else "those of another data set"
            )
            allowed = f"label ids are 0..33; these look like {looks}"
            labels = map_values(values, _LABEL_IDS, path=path, allowed=allowed)
        return read_pair(self.images[index].stem.removesuffix(_IMAGE_SUFFIX), self.images[index], path, labels)
