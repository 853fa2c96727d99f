"""Unlabeled images, for training with a teacher; and the concatenation of two data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from densevit import imaging
from densevit.core.errors import UsageError
from densevit.data.base import SegmentationData, SegmentationSample, list_images
from densevit.metrics import IGNORE


class UnlabeledData:
    """Every image in a folder and its sub-folders, without labels.

    Args:
        root: folder of the data set.
        like: data set with the same classes.

    Raises:
        DataError: the folder is missing or has no image.
    """

    def __init__(self, root: Path, like: SegmentationData) -> None:
        self.class_names = like.class_names
        self.palette = like.palette
        self.images = list_images(root, recursive=True)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample; its labels are all 255."""
        path = self.images[index]
        image = imaging.read(path)
        return SegmentationSample(path.stem, image, np.full(image.shape[:2], IGNORE, np.uint8))


class ConcatenatedData:
    """The samples of one data set, followed by those of another with the same classes.

    Raises:
        UsageError: the classes differ.
    """

    def __init__(self, first: SegmentationData, second: SegmentationData) -> None:
        if first.class_names != second.class_names:
            raise UsageError("data sets with different classes cannot be concatenated")
        self.class_names = first.class_names
        self.palette = first.palette
        self._first, self._second = first, second

    def __len__(self) -> int:
        """Number of samples of both data sets."""
        return len(self._first) + len(self._second)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample."""
        rest = index - len(self._first)
        return self._first[index] if rest < 0 else self._second[rest]
