"""PyTorch's interpolation arithmetic on the CPU, bit for bit.

Source: aten/src/ATen/native/cpu/UpSampleKernel.cpp as compiled for x86-64 with FMA, found by comparing bits with
version 2.13. Which operations are fused decides the last bit. With one thread PyTorch uses another kernel for
exactly three channels; then only labels tied to a few ulp may differ.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from densevit.labels.types import Bools, Floats


def multiplies_weights_first(
    shape: tuple[int, ...], size: tuple[int, int], scale: tuple[float, float] | None
) -> bool:
    """Whether PyTorch's bilinear uses the kernel that multiplies row and column weights beforehand."""
    classes, height, width = shape
    if scale is not None:  # PyTorch would interpolate all logits, before the crop
        size = (math.floor(height * (1.0 / scale[0])), math.floor(width * (1.0 / scale[1])))
    return sum(size) <= 128 or (classes > 3 and height == width == 1)


def interpolate_as_torch(
    values: Floats, row_weights: Floats, column_weights: Floats, vectorized: Bools | None
) -> Floats:
    """Interpolated (taps, taps, pixels) values, bit for bit.

    ``vectorized`` is None for the usual kernel, which first sums each row of taps and then the rows. The other
    kernel, for small results, sums the four products in one go, in another order for classes in full groups of
    eight (True) than for the remaining ones (False).
    """
    if vectorized is None:
        return _sum_fused([_sum_fused(line, column_weights) for line in values], row_weights)
    values = values.reshape(4, -1)
    weights = (row_weights[:, None] * column_weights).reshape(4, -1)
    return np.where(vectorized, _sum_fused(values, weights, (2, 3, 1, 0)), _sum_fused(values, weights))


def _sum_fused(values: Floats | list[Floats], weights: Floats, order: tuple[int, ...] = (1, 0, 2, 3)) -> Floats:
    order = order[: len(values)]  # two taps: (1, 0)
    total: Floats = values[order[0]] * weights[order[0]]
    for tap in order[1:]:
        total = fuse_multiply_add(values[tap], weights[tap], total)
    return total


def fuse_multiply_add(factor: Floats, other: Floats | np.float32, addend: Floats | np.float32) -> Floats:
    """float32 fused multiply-add, with one rounding.

    The product of two float32 is exact in float64. The sum is rounded to odd there (Boldo and Melquiond 2008,
    Emulation of FMA and correctly rounded sums): an inexact sum gets an odd last bit, so that it never lies
    halfway between two float32, and the second rounding, to float32, is the only one that counts.
    """
    product = factor.astype(np.float64) * other
    total = product + addend  # float64
    # Knuth's TwoSum: `lost` is exactly what rounding took from the sum.
    back = total - product
    lost = (product - (total - back)) + (addend - back)
    even = (total.view(np.int64) & 1) == 0
    towards = np.where(lost > 0, np.inf, -np.inf)
    odd: NDArray[np.float64] = np.where((lost != 0) & even, np.nextafter(total, towards), total)
    return odd.astype(np.float32)


def linear_weights(fraction: Floats) -> Floats:
    """Weights of the two taps, (2, pixels), at a distance of `fraction` and 1 - `fraction`."""
    return np.stack([np.float32(1) - fraction, fraction])


def cubic_weights(fraction: Floats) -> Floats:
    """Weights at the distances 1 + fraction, fraction, 1 - fraction and 2 - fraction, with a = -0.75."""
    near = np.stack([fraction, np.float32(1) - fraction])
    far = near + np.float32(1)
    # 1.25 x^3 - 2.25 x^2 + 1 and -0.75 x^3 + 3.75 x^2 - 6 x + 3; the last operations are not fused.
    inner = fuse_multiply_add(near, np.float32(1.25), np.float32(-2.25)) * near * near + np.float32(1)
    outer = fuse_multiply_add(fuse_multiply_add(far, np.float32(-0.75), np.float32(3.75)), far, np.float32(-6))
    outer = outer * far + np.float32(3)
    return np.stack([outer[0], inner[0], inner[1], outer[1]])
