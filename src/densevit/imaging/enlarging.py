"""Bicubic enlargement by a whole factor without rounding: what super-resolution starts from and is compared to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.imaging.resampling import cubic


def compute_phase_weights(scale: int) -> NDArray[np.float64]:
    """(scale, 5): the weights of the five input pixels around, -2 to 2 pixels away, for each phase of the output.

    MATLAB's imresize with a = -1/2; for a whole factor the weights repeat with every pixel of the input.
    """
    centers = (np.arange(scale) + 0.5) / scale - 0.5
    return cubic(np.arange(-2, 3) - centers[:, None], a=-0.5)


def enlarge(image: NDArray[Any], scale: int) -> NDArray[np.float32]:
    """(H, W) or (H, W, C) of any type and range -> (H * scale, W * scale[, C]) float32, borders mirrored.

    At edges, values may leave the range of the input by a ninth of it and more.
    """
    weights = compute_phase_weights(scale).astype(np.float32)
    values = image.astype(np.float32)
    for axis in (0, 1):
        values = _enlarge_axis(values, weights, axis)
    return values


def _enlarge_axis(values: NDArray[np.float32], weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    side = values.shape[axis]
    around = np.arange(-2, side + 2) % (2 * side)
    padded = values.take(np.minimum(around, 2 * side - 1 - around), axis)
    shape = list(values.shape)
    shape[axis] *= len(weights)
    enlarged = np.empty(shape, np.float32)
    for phase, row in enumerate(weights):
        terms = [np.float32(weight) * _slice(padded, axis, k, side) for k, weight in enumerate(row) if weight]
        target = (slice(None),) * axis + (slice(phase, None, len(weights)),)
        enlarged[target] = sum(terms[1:], terms[0])
    return enlarged


def _slice(padded: NDArray[np.float32], axis: int, first: int, count: int) -> NDArray[np.float32]:
    return padded[(slice(None),) * axis + (slice(first, first + count),)]
