"""Where the pixels of the result lie among the logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.labels.arithmetic import cubic_weights, fuse_multiply_add, linear_weights
from densevit.labels.types import TAPS, Align, Floats, Integers


@dataclass(frozen=True)
class Axis:
    """One axis of the result: which logits pixels its pixels read, and with which weights."""

    taps: Integers  # (taps, cells) index into the logits
    start: Integers  # (cells,) first result pixel
    count: Integers  # (cells,) result pixels
    cell_of_pixel: Integers  # (pixels,)
    weights: Floats  # (taps, pixels)


def _make_axis(logits_size: int, size: int, scale: float, align: Align) -> Axis:
    """Source positions and weights in PyTorch's float32 arithmetic."""
    centers = np.arange(size, dtype=np.float32) + np.float32(0.5)
    position = fuse_multiply_add(centers, np.float32(scale), np.float32(-0.5))
    # The cell's index is that of its first inner tap; -1 is the half cell before the first logits pixel.
    cell = np.clip(np.floor(position), -1, logits_size - 1).astype(np.intp)
    if align == "bilinear":  # PyTorch clamps the position itself here, and only the taps for bicubic
        position = np.maximum(position, np.float32(0))
    first = np.minimum(np.floor(position), logits_size - 1)
    fraction = np.clip(position - first.astype(np.float32), 0, 1).astype(np.float32)
    weights = (linear_weights if align == "bilinear" else cubic_weights)(fraction)
    used, start, cell_of_pixel, count = np.unique(cell, return_index=True, return_inverse=True, return_counts=True)
    offsets = np.arange(TAPS[align])[:, None] - (TAPS[align] // 2 - 1)
    taps = np.clip(used + offsets, 0, logits_size - 1)
    return Axis(taps, start, count, cell_of_pixel, weights)


def make_axes(
    grid: Floats, size: tuple[int, int], scale: tuple[float, float] | None, align: Align
) -> tuple[Axis, Axis]:
    """Vertical and horizontal axis; raises ValueError for a size, scale or align out of range."""
    if align not in TAPS:
        raise ValueError(f"align is {align!r}; allowed are {', '.join(map(repr, TAPS))}")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size is {size}; allowed is (height, width), both at least 1 pixel")
    if scale is None:
        scale = (grid.shape[1] / size[0], grid.shape[2] / size[1])
    if len(scale) != 2 or not all(math.isfinite(factor) and factor > 0 for factor in scale):
        raise ValueError(f"scale is {scale}; allowed is (vertical, horizontal), both finite and above 0")
    return _make_axis(grid.shape[1], size[0], scale[0], align), _make_axis(grid.shape[2], size[1], scale[1], align)


def check_logits(logits: NDArray[np.floating[Any]]) -> Floats:
    """The logits as contiguous float32; raises ValueError for anything but a 3-D array of finite floats."""
    if logits.ndim != 3 or 0 in logits.shape:
        raise ValueError(f"logits have shape {logits.shape}; allowed is (classes, h, w), none of them 0")
    if len(logits) > 65536:
        raise ValueError(f"logits have {len(logits)} classes; allowed are at most 65536")
    if not np.issubdtype(logits.dtype, np.floating):
        raise ValueError(f"logits are {logits.dtype}; allowed are floating-point numbers")
    with np.errstate(over="ignore"):
        grid = np.ascontiguousarray(logits, dtype=np.float32)
    # NaN and infinity of either sign show in the extremes, which need no temporary array.
    if not (np.isfinite(grid.min()) and np.isfinite(grid.max())):
        raise ValueError("logits contain NaN or infinity (as float32); allowed are finite numbers")
    return grid
