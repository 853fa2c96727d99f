"""Masks as run lengths, in memory and in COCO's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.limits import DEFAULT_MAX_PIXELS
from densevit.core.messages import describe_size
from densevit.masks.compression import compress_counts, decompress_counts
from densevit.masks.types import MaskError

MAX_MASK_PIXELS = 2**31 - 1
"""Height times width of the largest mask that can be stored."""


@dataclass(frozen=True, eq=False)
class RLE:
    """A mask as run lengths in COCO's order: column by column from the left, each column from the top.

    Attributes:
        size: (height, width).
        counts: (N,) uint32 lengths of alternating runs outside and inside the mask. The first run is outside; its
            length is 0 where the upper left pixel is inside. The lengths sum up to height * width.

    Raises:
        MaskError: other counts, or a size that is not allowed.
    """

    size: tuple[int, int]
    counts: NDArray[np.uint32]

    def __post_init__(self) -> None:
        _check_size(self.size, MAX_MASK_PIXELS)
        if self.counts.dtype != np.uint32 or self.counts.ndim != 1:
            raise MaskError(f"counts: got {self.counts.dtype} {self.counts.shape}; allowed: uint32 (N,)")
        height, width = self.size
        if len(self.counts) > height * width + 1:
            raise MaskError(f"{len(self.counts)} runs in a mask of {describe_size(self.size)}")
        if (total := int(self.counts.sum(dtype=np.int64))) != height * width:
            raise MaskError(f"run lengths sum up to {total}, the mask is {describe_size(self.size)}")
        counts = self.counts.view()
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RLE):
            return NotImplemented
        return self.size == other.size and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self.size, self.counts.tobytes()))

    def __repr__(self) -> str:
        return f"RLE({describe_size(self.size)}, {len(self.counts)} runs)"

    @property
    def area(self) -> int:
        """Number of pixels inside."""
        return int(self.counts[1::2].sum(dtype=np.int64))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in pixels, x1 and y1 exclusive: the smallest box around the mask; zeros if empty."""
        starts, ends = _list_runs(self)
        filled = ends > starts
        if not filled.any():
            return 0, 0, 0, 0
        height = self.size[0]
        (left, top), (right, bottom) = np.divmod(starts[filled], height), np.divmod(ends[filled] - 1, height)
        # a run over several columns touches the lowest and the uppermost row
        y0, y1 = (0, height) if (left != right).any() else (top.min(), bottom.max() + 1)
        return int(left[0]), int(y0), int(right[-1]) + 1, int(y1)

    def decode(self) -> NDArray[np.bool_]:
        """-> (H, W) bool, True inside."""
        height, width = self.size
        mask = np.zeros((height, width), np.bool_)
        x0, y0, x1, y1 = self.box
        if x1 > x0:
            # only the columns of the box: the rest of the mask is empty
            bounds = np.cumsum(self.counts, dtype=np.int64).clip(x0 * height, x1 * height)
            counts = np.diff(bounds, prepend=x0 * height)
            columns = np.repeat(np.arange(len(counts)) % 2 > 0, counts).reshape(x1 - x0, height)
            mask[y0:y1, x0:x1] = columns[:, y0:y1].T
        return mask

    def to_coco(self, *, compressed: bool = True) -> dict[str, Any]:
        """{"size": [H, W], "counts": text}, or a list of run lengths if not `compressed`; both fit into JSON."""
        counts = compress_counts(self.counts) if compressed else self.counts.tolist()
        return {"size": list(self.size), "counts": counts}

    @staticmethod
    def from_coco(value: Mapping[str, Any], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> RLE:
        """The mask that `to_coco` or another of COCO's tools wrote; `value` need not be trusted.

        Args:
            value: "size" is [H, W]; "counts" is a list of run lengths, or their compressed text or bytes.
            max_pixels: larger masks are refused.

        Raises:
            MaskError: another value.
        """
        if not isinstance(value, Mapping) or not {"size", "counts"} <= value.keys():
            raise MaskError("a mask is an object with 'size' and 'counts'")
        size, counts = value["size"], value["counts"]
        if not isinstance(size, list | tuple) or len(size) != 2:
            raise MaskError("a mask's size is [height, width]")
        _check_size(tuple(size), max_pixels)
        height, width = size
        if not isinstance(counts, str | bytes | list):
            raise MaskError(f"a mask's counts are a text or a list, not {type(counts).__name__}")
        most = (height * width + 1) * (1 if isinstance(counts, list) else 7)
        if len(counts) > most:
            raise MaskError(f"counts of {len(counts)} entries for a mask of {describe_size((height, width))}")
        if isinstance(counts, list):
            if not all(type(count) is int and 0 <= count <= height * width for count in counts):
                raise MaskError(f"run lengths are whole numbers in 0..{height * width}")
            return RLE((height, width), np.array(counts, np.uint32))
        lengths = decompress_counts(counts)
        if lengths.size and not 0 <= lengths.min() <= lengths.max() <= height * width:
            found = f"{lengths.min()}..{lengths.max()}"
            raise MaskError(f"run lengths {found} in a mask of {describe_size((height, width))}")
        return RLE((height, width), lengths.astype(np.uint32))


def encode(mask: NDArray[np.bool_]) -> RLE:
    """Encodes a (H, W) bool mask as run lengths.

    Raises:
        MaskError: another array.
    """
    _check_mask(mask)
    height, width = mask.shape
    return encode_window(mask, 0, 0, (height, width))


def encode_window(window: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> RLE:
    """Encodes a mask that is empty outside a window; the cost grows with the window, not with the mask.

    Args:
        window: (h, w) bool.
        top: row of the mask where the window begins.
        left: column of the mask where the window begins.
        size: (height, width) of the mask.

    Raises:
        MaskError: another array, or a window that does not lie inside the mask.
    """
    _check_mask(window)
    _check_size(size, MAX_MASK_PIXELS)
    (rows, columns), (height, width) = window.shape, size
    if not (0 <= top <= height - rows and 0 <= left <= width - columns):
        raise MaskError(
            f"a window of {describe_size((rows, columns))} at x {left}, y {top} "
            f"is not within a mask of {describe_size(size)}"
        )
    # where a column enters or leaves the mask, at rows + 1 places; the window is read row by row, as in memory
    change = np.empty((rows + 1, columns), bool)
    change[0], change[rows] = window[0], window[rows - 1]
    np.not_equal(window[1:], window[:-1], out=change[1:rows])
    row, column = np.divmod(np.flatnonzero(change), columns)
    edges = np.sort((column + left) * height + row + top)
    if rows == height:
        # the end of one column is the beginning of the next: where both are inside, the run continues
        same = edges[1:] == edges[:-1]
        continues = np.zeros(len(edges), bool)
        continues[1:] |= same
        continues[:-1] |= same
        edges = edges[~continues]
    bounds = np.concatenate([[0], edges, [height * width]])
    counts = np.diff(bounds).astype(np.uint32)
    return RLE((height, width), counts if counts[-1] else counts[:-1])


def intersection(first: RLE, second: RLE) -> int:
    """Number of pixels inside both masks.

    Raises:
        MaskError: masks of different sizes.
    """
    if first.size != second.size:
        raise MaskError(f"masks of different sizes: {describe_size(first.size)} and {describe_size(second.size)}")
    if len(first.counts) > len(second.counts):
        first, second = second, first
    edges = np.concatenate([[0], np.cumsum(second.counts, dtype=np.int64)])
    inside = np.concatenate([[0], np.cumsum(np.where(np.arange(len(second.counts)) % 2, second.counts, 0))])

    def count_before(places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of pixels of the second mask before each place."""
        run = np.clip(np.searchsorted(edges, places, "right") - 1, 0, len(edges) - 2)
        covered: NDArray[np.int64] = inside[run].astype(np.int64) + (run % 2) * (places - edges[run])
        return covered

    starts, ends = _list_runs(first)
    return int((count_before(ends) - count_before(starts)).sum())


def iou(first: RLE, second: RLE) -> float:
    """Intersection over union of two masks, 0..1; 0 where both are empty.

    Raises:
        MaskError: masks of different sizes.
    """
    common = intersection(first, second)
    union = first.area + second.area - common
    return common / union if union else 0.0


def _list_runs(rle: RLE) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel of each run inside, and the one after its last, as indices column by column."""
    bounds = np.cumsum(rle.counts, dtype=np.int64)
    ends = bounds[1::2]
    return bounds[::2][: len(ends)], ends


def _check_mask(mask: NDArray[np.bool_]) -> None:
    if mask.ndim != 2 or mask.dtype != np.bool_ or mask.size == 0:
        raise MaskError(f"mask: got {mask.dtype} {mask.shape}; allowed: bool (H, W), not empty")


def _check_size(size: tuple[Any, ...], max_pixels: int) -> None:
    if len(size) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) for side in size):
        raise MaskError("a mask's size is (height, width), two whole numbers")
    if min(size) < 1 or size[0] * size[1] > max_pixels:
        raise MaskError(f"a mask of {describe_size(size)}; allowed: 1 to {max_pixels:,} pixels")
