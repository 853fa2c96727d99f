"""The decoder's masks at the image's size, computed only where they can be above the threshold.

The published postprocessing enlarges logits of 256x256 to the frame of 1024, crops the part that the image fills,
and resizes it to the image, bilinearly both times (no antialiasing, half-pixel centers). Both steps are linear and
separable, so that together they are one matrix for the rows and one for the columns. Each row and column of the
image mixes at most three neighboring cells, with weights that sum to 1: where all cells nearby are below a
threshold, so is the image, and nothing needs to be computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.imaging import Size
from densevit.masks import RLE, encode_window
from densevit.variants.segment_anything import FRAME_PX, MASK_SIDE

_PART_ROWS, _PART_COLUMNS = 512, 128
"""Size of the part of a window that is computed at once."""


@dataclass(frozen=True)
class Window:
    """Part of an image-sized map: `values` start at row `top` and column `left`; the rest is False."""

    values: NDArray[np.bool_]
    top: int
    left: int

    def encode(self, size: Size) -> RLE:
        """Encodes the whole map of that (height, width) as run lengths."""
        if not self.values.size:
            return RLE((size.height, size.width), np.array([size.area], np.uint32))
        return encode_window(self.values, self.top, self.left, (size.height, size.width))


class MaskUpsampling:
    """Maps cells of the decoder's masks to pixels of one image.

    Args:
        content: size of the image in the frame.
        image: the image's own size.
    """

    def __init__(self, content: Size, image: Size) -> None:
        self.image = image
        self.rows = _Axis(content.height, image.height)
        self.columns = _Axis(content.width, image.width)

    def above(self, logits: NDArray[np.float32], threshold: float = 0.0) -> Window:
        """Where the enlarged logits exceed a threshold.

        Args:
            logits: (256, 256).
            threshold: of the enlarged logits.

        Returns:
            A window that holds every such pixel; empty if there are none.
        """
        rows, columns = self._touched(logits > threshold)
        found = np.zeros((rows[1] - rows[0], columns[1] - columns[0]), np.bool_)
        for part, values in self._parts(logits, rows, columns):
            np.greater(values, threshold, out=found[part])
        return Window(found, rows[0], columns[0])

    def above_with_stability(self, logits: NDArray[np.float32], offset: float) -> tuple[Window, float]:
        """Where the enlarged logits exceed 0, and the share of pixels that stays when 0 becomes +-`offset`.

        Args:
            logits: (256, 256).
            offset: by how much the threshold moves up and down, at least 0.

        Returns:
            As `above`; and the number of pixels above `offset` divided by that above -`offset`, 0 if there are
            none.
        """
        rows, columns = self._touched(logits > -offset)
        found = np.zeros((rows[1] - rows[0], columns[1] - columns[0]), np.bool_)
        raised = lowered = 0
        for part, values in self._parts(logits, rows, columns):
            np.greater(values, 0, out=found[part])
            raised += int(np.count_nonzero(values > offset))
            lowered += int(np.count_nonzero(values > -offset))
        return Window(found, rows[0], columns[0]), raised / lowered if lowered else 0.0

    def box_bounds(
        self, logits: NDArray[np.float32]
    ) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]] | None:
        """Inner and outer bounds of the box of the pixels above 0: (x0, y0, x1, y1), x1 and y1 its last pixels.

        A pixel is above 0 if all cells that it mixes are, and is not if none of them is.

        Args:
            logits: (256, 256).

        Returns:
            The inner and the outer box; None where the logits do not decide it.
        """
        if self.rows.sparse or self.columns.sparse:
            return None
        inside = logits > 0
        # cells beyond the image do not count
        solid = _erode(inside)[: self.rows.cells, : self.columns.cells]
        if not solid.any():
            return None
        bounds = [
            (axis.surely(solid.any(axis=other)), axis.touched(inside.any(axis=other)))
            for axis, other in ((self.columns, 0), (self.rows, 1))
        ]
        (x_inner, x_outer), (y_inner, y_outer) = bounds
        if x_inner is None or y_inner is None:
            return None
        return (
            (x_inner[0], y_inner[0], x_inner[1], y_inner[1]),
            (x_outer[0], y_outer[0], x_outer[1] - 1, y_outer[1] - 1),
        )

    def enlarge(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """(256, 256) -> the whole image, (H, W)."""
        height, width = self.image
        values = np.empty((height, width), np.float32)
        for part, found in self._parts(logits, (0, height), (0, width)):
            values[part] = found
        return values

    def _touched(self, cells: Any) -> tuple[tuple[int, int], tuple[int, int]]:
        """(256, 256) bool -> the image's rows and columns that mix any of these cells; both or none."""
        rows, columns = self.rows.touched(cells.any(axis=1)), self.columns.touched(cells.any(axis=0))
        return ((0, 0), (0, 0)) if rows[0] == rows[1] or columns[0] == columns[1] else (rows, columns)

    def _parts(
        self, logits: NDArray[np.float32], rows: tuple[int, int], columns: tuple[int, int]
    ) -> Iterator[tuple[tuple[slice, slice], NDArray[np.float32]]]:
        """A window of the enlarged logits part by part, each with its place in the window.

        Narrow parts mix few cells, which takes a fraction of the arithmetic of the whole window.
        """
        for top in range(*rows, _PART_ROWS):
            bottom = min(top + _PART_ROWS, rows[1])
            row_weights, row_cells = self.rows.weights(top, bottom)
            for left in range(*columns, _PART_COLUMNS):
                right = min(left + _PART_COLUMNS, columns[1])
                column_weights, column_cells = self.columns.weights(left, right)
                place = (slice(top - rows[0], bottom - rows[0]), slice(left - columns[0], right - columns[0]))
                partial = row_weights @ logits[row_cells, column_cells]
                yield place, np.matmul(partial, column_weights.T, dtype=np.float32)


class _Axis:
    """One axis: the cells that each pixel mixes, and their weights."""

    def __init__(self, content_px: int, image_px: int) -> None:
        inner, inner_share = _compute_taps(content_px, image_px, content_px / image_px)
        cells, cell_share = _compute_taps(MASK_SIDE, FRAME_PX, MASK_SIDE / FRAME_PX)
        self._weights = np.zeros((image_px, MASK_SIDE), np.float32)
        pixels = np.arange(image_px)
        for step in range(2):
            for tap in range(2):
                weight = inner_share[:, step] * cell_share[inner[:, step], tap]
                np.add.at(self._weights, (pixels, cells[inner[:, step], tap]), weight.astype(np.float32))
        # first and last cell of each pixel; both grow with the pixel
        self._first = cells[inner[:, 0], 0]
        self._last = cells[inner[:, 1], 1]
        # number of cells that the image covers; with fewer pixels than that, some cells have no pixel near
        self.cells = int(self._last[-1]) + 1
        self.sparse = image_px < self.cells

    def touched(self, cells: Any) -> tuple[int, int]:
        """(256,) bool -> first pixel, and one past the last, that mix cells between the first and last set one."""
        if not cells.any():
            return 0, 0
        first, last = int(np.argmax(cells)), len(cells) - 1 - int(np.argmax(cells[::-1]))
        start = int(np.searchsorted(self._last, first, side="left"))
        end = int(np.searchsorted(self._first, last, side="right"))
        return (start, end) if start < end else (0, 0)

    def surely(self, cells: Any) -> tuple[int, int] | None:
        """(256,) bool -> first and last pixel that mix only neighbors of the first and last set cell.

        None if there is no such pixel.
        """
        first, last = int(np.argmax(cells)), len(cells) - 1 - int(np.argmax(cells[::-1]))
        start = int(np.searchsorted(self._first, first - 1, side="left"))
        end = int(np.searchsorted(self._last, last + 1, side="right")) - 1
        if start >= len(self._first) or end < 0 or self._last[start] > first + 1 or self._first[end] < last - 1:
            return None
        return start, end

    def weights(self, start: int, end: int) -> tuple[NDArray[np.float32], slice]:
        """Pixels start..end as mixtures of the cells in the slice."""
        if start >= end:
            return self._weights[:0, :0], slice(0, 0)
        cells = slice(int(self._first[start]), int(self._last[end - 1]) + 1)
        return self._weights[start:end, cells], cells


def _erode(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells whose neighbors, up to eight, are set too."""
    padded = np.pad(cells, 1, constant_values=True)
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


def _compute_taps(cells: int, pixels: int, scale: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """(pixels, 2) the two coarse neighbors of each pixel, and their shares."""
    place = np.maximum((np.arange(pixels) + 0.5) * scale - 0.5, 0)
    lower = np.minimum(place.astype(np.intp), cells - 1)
    share = place - lower
    upper = np.minimum(lower + 1, cells - 1)
    return np.stack([lower, upper], axis=1), np.stack([1 - share, share], axis=1)
