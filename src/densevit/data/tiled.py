"""Big images in tiles: every pixel is in a tile, and counts in exactly one."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple, Protocol

import numpy as np

from densevit.data.base import DataError, SegmentationData, SegmentationSample
from densevit.imaging import Size
from densevit.metrics import IGNORE


class SizedData(SegmentationData, Protocol):
    """Segmentation data that knows the sizes of its images without decoding them."""

    def image_size(self, index: int) -> Size:
        """(height, width) of an image."""
        ...


class Span(NamedTuple):
    """A tile along one axis, in pixels of the image: what it shows, and the part that counts in it."""

    start: int
    stop: int
    first: int
    last: int  # exclusive


def spans(length: int, tile_px: int, stride_px: int) -> list[Span]:
    """The tiles along an axis.

    Tiles start every `stride_px`; the last is shifted inward so that it ends where the image does; a shorter
    image is one tile. Where tiles overlap, the pixels nearer to the middle of a tile count in it, so that
    each pixel counts once.
    """
    last = max(0, length - tile_px)
    starts = [*range(0, last, stride_px), last]
    stops = [min(start + tile_px, length) for start in starts]
    # the border between two tiles is the middle of their overlap
    borders = [0, *((start + stop) // 2 for start, stop in zip(starts[1:], stops[:-1], strict=True)), length]
    return [Span(*each) for each in zip(starts, stops, borders[:-1], borders[1:], strict=True)]


class Tiled:
    """The tiles of a data set's images as samples, row by row, image by image.

    The image last read is kept, so that in order each is decoded once.

    Args:
        data: the images.
        tile_px: height and width of a tile.
        stride_px: distance of neighboring tiles, at most `tile_px`.
        once: labels become 255 where a pixel counts in another tile, which makes scores over tiles equal to
            scores over images; False keeps all labels, for training.

    Raises:
        DataError: a tile or stride that is not positive, or a stride that leaves gaps.
    """

    def __init__(self, data: SizedData, tile_px: int, stride_px: int, *, once: bool = True) -> None:
        if not 1 <= stride_px <= tile_px:
            raise DataError(f"tiles of {tile_px} pixels every {stride_px}: the stride must be 1..{tile_px}")
        self.class_names = data.class_names
        self.palette = data.palette
        self._data = data
        self._once = once
        self._tiles = [
            [(y, x) for y in spans(size.height, tile_px, stride_px) for x in spans(size.width, tile_px, stride_px)]
            for size in map(data.image_size, range(len(data)))
        ]
        self._ends = list(accumulate(map(len, self._tiles)))
        self._kept: tuple[int, SegmentationSample] | None = None

    @property
    def images(self) -> int:
        """Number of images that the tiles are cut from."""
        return len(self._data)

    def __len__(self) -> int:
        """How many tiles."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> SegmentationSample:
        """One tile, named after its image and its corner.

        Raises:
            IndexError: no such tile.
            DataError: as the data set says.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        number = bisect_right(self._ends, index)
        y, x = self._tiles[number][index - self._ends[number]]
        whole = self._image(number)
        # copies: a view would keep the whole image in memory
        labels = whole.labels[y.start : y.stop, x.start : x.stop].copy()
        if self._once:
            counted = np.zeros(labels.shape, bool)
            counted[y.first - y.start : y.last - y.start, x.first - x.start : x.last - x.start] = True
            labels[~counted] = IGNORE
        image = whole.image[y.start : y.stop, x.start : x.stop].copy()
        return SegmentationSample(f"{whole.name}_y{y.start}_x{x.start}", image, labels)

    def _image(self, number: int) -> SegmentationSample:
        kept = self._kept
        if kept is None or kept[0] != number:
            self._kept = None  # two big images at a time would be one too many
            kept = self._kept = (number, self._data[number])
        return kept[1]
