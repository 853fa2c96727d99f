"""The exact label map: settled cells are filled, the others computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.labels.arithmetic import multiplies_weights_first
from densevit.labels.axes import check_logits, make_axes
from densevit.labels.deciding import decide
from densevit.labels.settling import settle_cells
from densevit.labels.types import TAPS, Align, Labels

# Work at a time: small enough for the processor's cache, and a bound on memory.
_PIXELS_AT_A_TIME = 1 << 17
_CORNERS_AT_A_TIME = 1 << 20


def full_resolution_labels(
    logits: NDArray[np.floating[Any]],
    size: tuple[int, int],
    *,
    scale: tuple[float, float] | None = None,
    align: Align = "bilinear",
) -> Labels:
    """Class of every result pixel, equal to PyTorch's interpolation followed by argmax.

    Args:
        logits: (classes, h, w), finite, float32 (other float types are converted), any strides.
        size: (height, width) of the result in pixels, larger or smaller than (h, w).
        scale: (vertical, horizontal) logits pixels per result pixel, default (h / height, w / width). It
            differs where the logits also cover a padding at the right or bottom: the result is then PyTorch's
            for ``scale_factor = 1 / scale``, cropped to ``size`` (save that PyTorch ignores a scale which
            rounds to h or w pixels). Past the last logits pixel the edge is repeated.
        align: "bilinear", or "bicubic" (a = -0.75).

    Returns:
        (height, width) uint8, or uint16 above 256 classes. The first of exactly tied classes wins.

    Raises:
        ValueError: for logits that are not a non-empty (classes, h, w) array of finite floats, more than
            65536 classes, and a size, scale or align out of range.
    """
    grid = check_logits(logits)
    rows, columns = make_axes(grid, size, scale, align)
    kind = np.uint8 if len(grid) <= 256 else np.uint16
    if len(grid) == 1:
        return np.zeros(size, kind)
    # Differences of logits near float32's limit may overflow; what cannot be compared counts as unsettled.
    with np.errstate(over="ignore", invalid="ignore"):
        cell_labels, settled = settle_cells(grid, rows, columns, align, kind)
        labels = cell_labels.take(columns.cell_of_pixel, axis=1).take(rows.cell_of_pixel, axis=0)
        cells = np.stack(np.nonzero(~settled))
        pixels_per_cell = int(rows.count.max() * columns.count.max())
        values_per_cell = len(grid) * TAPS[align] ** 2
        step = max(1, min(_PIXELS_AT_A_TIME // pixels_per_cell, _CORNERS_AT_A_TIME // values_per_cell))
        product_weights = align == "bilinear" and multiplies_weights_first(grid.shape, size, scale)
        for start in range(0, cells.shape[1], step):
            decide(labels, grid, rows, columns, cells[:, start : start + step], product_weights)
    return labels
