"""Images without labels, for a teacher to answer; and two data sets as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from densevit import imaging
from densevit.data.base import DataError, SegmentationData, SegmentationSample, list_images
from densevit.metrics import IGNORE


class UnlabeledData:
    """Every image below a folder, with unknown labels.

    Args:
        root: the folder.
        like: the data set whose classes are meant.

    Raises:
        DataError: no image there.
    """

    def __init__(self, root: Path, like: SegmentationData) -> None:
        self.class_names = like.class_names
        self.palette = like.palette
        self.images = list_images(root, recursive=True)

    def __len__(self) -> int:
        """How many samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample; its labels are all 255."""
        path = self.images[index]
        image = imaging.read(path)
        return SegmentationSample(path.stem, image, np.full(image.shape[:2], IGNORE, np.uint8))


class ConcatenatedData:
    """The samples of one data set, then those of another with the same classes."""

    def __init__(self, first: SegmentationData, second: SegmentationData) -> None:
        if first.class_names != second.class_names:
            raise DataError("two data sets of different classes cannot be joined")
        self.class_names = first.class_names
        self.palette = first.palette
        self._first, self._second = first, second

    def __len__(self) -> int:
        """How many samples in both."""
        return len(self._first) + len(self._second)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample."""
        own = index - len(self._first)
        return self._first[index] if own < 0 else self._second[own]
