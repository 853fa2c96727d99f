"""The decoder's masks at the picture's size, computed only where a mask can be.

The published postprocessing enlarges logits of 256x256 to the frame of 1024, crops what the picture fills, and
resizes that to the picture, bilinearly both times (no antialiasing, half-pixel centres). Both steps are linear and
separable, so that together they are one matrix for the rows and one for the columns. Each row and column of the
picture mixes three neighbouring cells at most, with weights that sum to 1: where all cells near are below a
threshold, so is the picture, and nothing has to be computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.imaging import Size
from densevit.tasks.prompts import FRAME_PX, MASK_SIDE

_STRIP_PIXELS = 2**24
"""More pixels than this are computed in strips."""


@dataclass(frozen=True)
class Window:
    """Part of a picture-sized map: `values` lie at row `top` and column `left`; elsewhere nothing is."""

    values: NDArray[np.bool_]
    top: int
    left: int


class MaskUpsampling:
    """From cells of the decoder's masks to pixels of one picture.

    Args:
        content: what the picture was resized to in the frame.
        picture: the picture's own size.
    """

    def __init__(self, content: Size, picture: Size) -> None:
        self.picture = picture
        self.rows = _Axis(content.height, picture.height)
        self.columns = _Axis(content.width, picture.width)

    def above(self, logits: NDArray[np.float32], threshold: float = 0.0) -> Window:
        """Where the enlarged logits exceed a threshold.

        Args:
            logits: (256, 256).
            threshold: compared with.

        Returns:
            A window that holds every such pixel; of no pixels where there is none.
        """
        cells = logits > threshold
        top, bottom = self.rows.touched(cells.any(axis=1))
        left, right = self.columns.touched(cells.any(axis=0))
        if top == bottom or left == right:
            return Window(np.zeros((0, 0), np.bool_), 0, 0)
        found = np.empty((bottom - top, right - left), np.bool_)
        step = max(1, _STRIP_PIXELS // (right - left))
        for first in range(top, bottom, step):
            last = min(first + step, bottom)
            values = self._values(logits, (first, last), (left, right))
            np.greater(values, threshold, out=found[first - top : last - top])
        return Window(found, top, left)

    def counts_above(self, logits: NDArray[np.float32], thresholds: tuple[float, ...]) -> list[int]:
        """How many pixels of the enlarged logits exceed each threshold."""
        cells = logits > min(thresholds)
        top, bottom = self.rows.touched(cells.any(axis=1))
        columns = self.columns.touched(cells.any(axis=0))
        counts = [0] * len(thresholds)
        step = max(1, _STRIP_PIXELS // max(1, columns[1] - columns[0]))
        for first in range(top, bottom, step):
            values = self._values(logits, (first, min(first + step, bottom)), columns)
            counts = [
                count + int(np.count_nonzero(values > threshold))
                for count, threshold in zip(counts, thresholds, strict=True)
            ]
        return counts

    def enlarged(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """(256, 256) -> all of the picture, (H, W)."""
        height, width = self.picture
        return self._values(logits, (0, height), (0, width))

    def _values(
        self, logits: NDArray[np.float32], rows: tuple[int, int], columns: tuple[int, int]
    ) -> NDArray[np.float32]:
        row_weights, row_cells = self.rows.weights(*rows)
        column_weights, column_cells = self.columns.weights(*columns)
        part = logits[row_cells, column_cells]
        # the cheaper product first: a mask may be wide and flat
        if part.shape[0] * len(column_weights) < part.shape[1] * len(row_weights):
            return np.asarray(row_weights @ (part @ column_weights.T))
        return np.asarray((row_weights @ part) @ column_weights.T)


class _Axis:
    """One direction: which cells each pixel mixes, and how."""

    def __init__(self, content_px: int, picture_px: int) -> None:
        inner, inner_share = _taps(content_px, picture_px, content_px / picture_px)
        cells, cell_share = _taps(MASK_SIDE, FRAME_PX, MASK_SIDE / FRAME_PX)
        self._weights = np.zeros((picture_px, MASK_SIDE), np.float32)
        pixels = np.arange(picture_px)
        for step in range(2):
            for tap in range(2):
                weight = inner_share[:, step] * cell_share[inner[:, step], tap]
                np.add.at(self._weights, (pixels, cells[inner[:, step], tap]), weight.astype(np.float32))
        # both grow with the pixel
        self._first = cells[inner[:, 0], 0]
        self._last = cells[inner[:, 1], 1]

    def touched(self, cells: Any) -> tuple[int, int]:
        """(256,) bool -> first pixel and the one behind the last that mix cells from the first set to the last."""
        if not cells.any():
            return 0, 0
        first, last = int(np.argmax(cells)), len(cells) - 1 - int(np.argmax(cells[::-1]))
        start = int(np.searchsorted(self._last, first, side="left"))
        end = int(np.searchsorted(self._first, last, side="right"))
        return (start, end) if start < end else (0, 0)

    def weights(self, start: int, end: int) -> tuple[NDArray[np.float32], slice]:
        """Pixels start..end as mixtures of the cells in the slice."""
        if start >= end:
            return self._weights[:0, :0], slice(0, 0)
        cells = slice(int(self._first[start]), int(self._last[end - 1]) + 1)
        return self._weights[start:end, cells], cells


def _taps(cells: int, pixels: int, scale: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """(pixels, 2) neighbours on the coarse side of each pixel, and their shares."""
    place = np.maximum((np.arange(pixels) + 0.5) * scale - 0.5, 0)
    lower = np.minimum(place.astype(np.intp), cells - 1)
    share = place - lower
    upper = np.minimum(lower + 1, cells - 1)
    return np.stack([lower, upper], axis=1), np.stack([1 - share, share], axis=1)
