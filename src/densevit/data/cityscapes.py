"""Cityscapes: road scenes of 2048x1024 in nineteen classes (Cordts et al. 2016)."""

from __future__ import annotations

from pathlib import Path

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
    """`root/leftImg8bit/{split}/{city}/*_leftImg8bit.png`, `root/gtFine/{split}/{city}/*_gtFine_labelIds.png`.

    Files `*_gtFine_labelTrainIds.png` are taken where there are no label ids.

    Args:
        root: the folder that holds leftImg8bit and gtFine.
        split: "train" or "val"; the labels of "test" were never published.

    Raises:
        DataError: the folders are not there, or an image has no labels.
    """

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
        ids, train_ids = (self._label_files(labels, kind) for kind in ("labelIds", "labelTrainIds"))
        self.train_ids = not any(path.is_file() for path in ids) and any(path.is_file() for path in train_ids)
        self.annotations = train_ids if self.train_ids else ids
        pattern = "*_labelTrainIds.png" if self.train_ids else "*_labelIds.png"
        remedy = "unpack gtFine_trainvaltest.zip beside leftImg8bit"
        check_labels(self.annotations, folder=labels, remedy=remedy, pattern=pattern)

    def _label_files(self, labels: Path, kind: str) -> list[Path]:
        return [
            labels / path.parent.name / f"{path.stem.removesuffix(_IMAGE_SUFFIX)}_gtFine_{kind}.png"
            for path in self.images
        ]

    def __len__(self) -> int:
        """How many samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample; what belongs to none of the nineteen classes becomes 255.

        Raises:
            DataError: label ids under the name of train ids or the other way round, or another size.
        """
        path = self.annotations[index]
        values = read_label_image(path, remedy="take *_labelIds.png, not *_color.png")
        if self.train_ids:
            allowed = "train ids are 0..18 and 255; these look like label ids: name them *_gtFine_labelIds.png"
            labels = map_values(values, _TRAIN_IDS, path=path, allowed=allowed)
        else:
            # every published frame shows the car's own bonnet, which has label id 1 and train id 255
            looks = "train ids: name them *_gtFine_labelTrainIds.png" if 255 in values else "those of another set"
            allowed = f"label ids are 0..33; these look like {looks}"
            labels = map_values(values, _LABEL_IDS, path=path, allowed=allowed)
        return read_pair(self.images[index].stem.removesuffix(_IMAGE_SUFFIX), self.images[index], path, labels)
