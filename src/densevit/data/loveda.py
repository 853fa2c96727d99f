"""LoveDA: aerial images of 1024 x 1024 px at 0.3 m, land cover in seven classes (Wang et al. 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from densevit.core.classes import read_class_table
from densevit.data.base import DataError, SegmentationSample, list_images, read_label_image, read_pair
from densevit.data.layout import check_labels, list_folders, require_folder
from densevit.data.values import make_value_table, map_values

_FOLDERS = {"train": "Train", "val": "Val"}
_SCENES = ("Rural", "Urban")
_TABLE = make_value_table({value: value - 1 for value in range(1, 8)}, ignored=[0])


class LoveDA:
    """LoveDA: images `root/{Train,Val}/{Rural,Urban}/images_png/*.png`, labels in `masks_png/*.png`; whole images.

    Label values 1..7 are the classes, 0 (no data) is ignored.

    Args:
        root: folder that contains Train and Val.
        split: "train" or "val"; the labels of "test" were never published.

    Raises:
        DataError: a folder is missing, or an image has no labels.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, root: Path, split: str) -> None:
        table = read_class_table("loveda")
        self.class_names = table.names
        self.palette = table.palette
        if split.lower() == "test":
            raise DataError(f"{root}: the labels of LoveDA's test split were never published; use --split val")
        layout = "Val/Rural/images_png, Val/Rural/masks_png, and the same for Urban"
        splits = [name.lower() for name in list_folders(root) if name in _FOLDERS.values()]
        folder = require_folder(root, _FOLDERS.get(split, split), layout=layout, splits=splits)
        scenes = [name for name in _SCENES if (folder / name).is_dir()]
        if not scenes:
            require_folder(folder, _SCENES[0], layout=layout)
        self.images: list[Path] = []
        self.annotations: list[Path] = []
        for scene in scenes:
            images = list_images(require_folder(folder / scene, "images_png", layout=layout))
            masks = folder / scene / "masks_png"
            labels = [masks / f"{path.stem}.png" for path in images]
            check_labels(labels, folder=masks, remedy=f"looked for {layout}")
            self.images += images
            self.annotations += labels

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample, named "Rural/NUMBER" or "Urban/NUMBER"; value 0 becomes 255, value v class v - 1.

        Raises:
            DataError: the labels have other values than LoveDA's, or another size than the image.
        """
        path = self.annotations[index]
        allowed = "LoveDA's are 1..7, and 0 for no data; use masks_png as published"
        labels = map_values(read_label_image(path), _TABLE, path=path, allowed=allowed)
        return read_pair(f"{path.parent.parent.name}/{path.stem}", self.images[index], path, labels)
