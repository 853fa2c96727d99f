"""CamVid: road scenes of 480x360 in eleven classes (Brostow et al. 2009, the split of SegNet)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from densevit import imaging
from densevit.classes import class_table
from densevit.data.base import DataError, SegmentationSample, pictures_in, read_label_picture
from densevit.metrics import IGNORE

_VOID = 11


class CamVid:
    """`root/{split}/*.jpg|png` with `root/{split}annot/*.png`, ids 0..10 and 11 for void.

    Args:
        root: the folder.
        split: "train", "val" or "test".

    Raises:
        DataError: the folders are not there, or a picture has no labels.
    """

    def __init__(self, root: Path, split: str) -> None:
        table = class_table("camvid")
        self.class_names = table.names
        self.palette = table.palette
        self.pictures = pictures_in(root / split)
        self.annotations = [root / f"{split}annot" / f"{path.stem}.png" for path in self.pictures]
        missing = [path for path in self.annotations if not path.is_file()]
        if missing:
            raise DataError(f"{missing[0]}: no labels for this picture ({len(missing)} pictures have none)")

    def __len__(self) -> int:
        """How many samples."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample; void becomes 255.

        Raises:
            DataError: labels that are not CamVid's, or of another size than the picture.
        """
        path = self.annotations[index]
        picture = imaging.read(self.pictures[index])
        labels = read_label_picture(path)
        if labels.shape != picture.shape[:2]:
            raise DataError(f"{path}: labels are {labels.shape}, the picture is {picture.shape[:2]}")
        if labels.max(initial=0) > _VOID:
            raise DataError(f"{path}: label {labels.max()} found, CamVid's are 0..{_VOID}")
        return SegmentationSample(path.stem, picture, np.where(labels == _VOID, IGNORE, labels).astype(np.uint8))
