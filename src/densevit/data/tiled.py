"""Cut large images into tiles; every pixel is in at least one tile and counts in exactly one."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from densevit.core.errors import UsageError
from densevit.data.base import SegmentationData, SegmentationSample
from densevit.imaging import Size
from densevit.metrics import IGNORE


class SizedData(SegmentationData, Protocol):
    """Segmentation data that can tell the sizes of its images without decoding them."""

    def image_size(self, index: int) -> Size:
        """(height, width) of an image."""
        ...


class Span(NamedTuple):
    """A tile along one axis, in pixels of the image: its extent, and the part that counts in it."""

    start: int
    stop: int
    first: int
    last: int  # exclusive


def split_axis(length: int, tile_px: int, stride_px: int) -> list[Span]:
    """Splits an axis into tiles.

    Tiles start every `stride_px`; the last one is shifted so that it ends with the image; a shorter image is one
    tile. Overlaps are divided in the middle, so that each pixel counts once.
    """
    last = max(0, length - tile_px)
    starts = [*range(0, last, stride_px), last]
    stops = [min(start + tile_px, length) for start in starts]
    # overlaps are divided in the middle
    borders = [0, *((start + stop) // 2 for start, stop in zip(starts[1:], stops[:-1], strict=True)), length]
    return [Span(*each) for each in zip(starts, stops, borders[:-1], borders[1:], strict=True)]


class Tiled:
    """The tiles of a data set's images as samples, row by row, image by image.

    The last image is kept, so that reading in order decodes each image once.

    Args:
        data: the images.
        tile_px: height and width of a tile.
        stride_px: distance between neighboring tiles, at most `tile_px`.
        once: set labels to 255 where a pixel counts in another tile, which makes scores over tiles equal scores
            over images; False keeps all labels, for training.

    Raises:
        UsageError: the tile or stride is not positive, or the stride leaves gaps.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, data: SizedData, tile_px: int, stride_px: int, *, once: bool = True) -> None:
        if not 1 <= stride_px <= tile_px:
            raise UsageError(
                f"tiles of {tile_px} pixels every {stride_px} pixels: the stride must be 1..{tile_px}"
            )
        self.class_names = data.class_names
        self.palette = data.palette
        self._data = data
        self._once = once
        self._tiles = [
            [
                (y, x)
                for y in split_axis(size.height, tile_px, stride_px)
                for x in split_axis(size.width, tile_px, stride_px)
            ]
            for size in map(data.image_size, range(len(data)))
        ]
        self._ends = list(accumulate(map(len, self._tiles)))
        self._kept: tuple[int, SegmentationSample] | None = None

    @property
    def images(self) -> int:
        """Number of images that the tiles are cut from."""
        return len(self._data)

    def __len__(self) -> int:
        """Number of tiles."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> SegmentationSample:
        """One tile, named after its image and its corner.

        Raises:
            IndexError: there is no such tile.
            DataError: as the data set raises it.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        number = bisect_right(self._ends, index)
        y, x = self._tiles[number][index - self._ends[number]]
        whole = self._read_image(number)
        # copies: a view would keep the whole image in memory
        labels = whole.labels[y.start : y.stop, x.start : x.stop].copy()
        if self._once:
            counted = np.zeros(labels.shape, bool)
            counted[y.first - y.start : y.last - y.start, x.first - x.start : x.last - x.start] = True
            labels[~counted] = IGNORE
        image = whole.image[y.start : y.stop, x.start : x.stop].copy()
        return SegmentationSample(f"{whole.name}_y{y.start}_x{x.start}", image, labels)

    def _read_image(self, number: int) -> SegmentationSample:
        kept = self._kept
        if kept is None or kept[0] != number:
            self._kept = None  # do not keep two large images in memory
            kept = self._kept = (number, self._data[number])
        return kept[1]
