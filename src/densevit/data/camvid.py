"""CamVid: road scenes of 480 x 360 px in eleven classes (Brostow et al. 2009, SegNet's split)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from densevit.core.classes import read_class_table
from densevit.data.base import SegmentationSample, list_images, read_label_image, read_pair
from densevit.data.layout import check_labels, list_folders, require_folder
from densevit.data.values import make_value_table, map_values

_VOID = 11
_TABLE = make_value_table({index: index for index in range(_VOID)}, ignored=[_VOID])


class CamVid:
    """CamVid: images `root/{split}/*.jpg|png`, labels `root/{split}annot/*.png` with ids 0..10 and 11 for void.

    Args:
        root: folder of the data set.
        split: "train", "val" or "test".

    Raises:
        DataError: a folder is missing, or an image has no labels.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, root: Path, split: str) -> None:
        table = read_class_table("camvid")
        self.class_names = table.names
        self.palette = table.palette
        names = list_folders(root)
        folder = require_folder(
            root,
            split,
            suits=lambda other: (other / f"{split}annot").is_dir(),
            layout="SPLIT/*.jpg and SPLITannot/*.png",
            splits=[name for name in names if f"{name}annot" in names],
        )
        self.images = list_images(folder)
        annotations = root / f"{split}annot"
        self.annotations = [annotations / f"{path.stem}.png" for path in self.images]
        check_labels(self.annotations, folder=annotations, remedy=f"looked for SPLITannot/NAME.png in {root}")

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample; void becomes 255.

        Raises:
            DataError: the labels have other values than CamVid's, or another size than the image.
        """
        path = self.annotations[index]
        allowed = f"CamVid's are 0..{_VOID}; other releases number or color their classes differently"
        labels = map_values(read_label_image(path), _TABLE, path=path, allowed=allowed)
        return read_pair(path.stem, self.images[index], path, labels)
