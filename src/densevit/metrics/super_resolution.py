"""PSNR and SSIM of images on Y (luma)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError
from densevit.core.messages import describe_size

_SSIM_SIDE = 11
_SSIM_SIGMA = 1.5
_MOST_DB = 100.0
_BILLION = 10**9


def luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W, 3) uint8 RGB -> (H, W) float64 in 16..235, not rounded.

    Y of ITU-R BT.601, with the coefficients of MATLAB's rgb2ycbcr.
    """
    weights = np.array([65.481, 128.553, 24.966]) / 255
    return 16 + image.astype(np.float64) @ weights


def psnr(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Peak signal to noise ratio in dB of two maps of the same shape in 0..255; infinite where they are equal."""
    error = float(np.mean(np.square(first - second)))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Structural similarity of two (H, W) maps in 0..255 (Wang et al. 2004, equation 13).

    A Gaussian window of 11 x 11, sigma 1.5, only where it is inside the maps: the mean is over (H - 10, W - 10)
    positions.

    Raises:
        InputError: maps smaller than the window.
    """
    if min(first.shape) < _SSIM_SIDE:
        raise InputError(
            f"SSIM needs {_SSIM_SIDE} pixels a side, got {describe_size((first.shape[0], first.shape[1]))}"
        )
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_1, mean_2 = _blur(first), _blur(second)
    variance_1 = _blur(first * first) - mean_1**2
    variance_2 = _blur(second * second) - mean_2**2
    covariance = _blur(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + c1) / (mean_1**2 + mean_2**2 + c1)
    structure = (2 * covariance + c2) / (variance_1 + variance_2 + c2)
    return float(np.mean(luminance * structure))


def _blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W) -> (H - 10, W - 10): the Gaussian window, one axis after the other."""
    offsets = np.arange(_SSIM_SIDE) - _SSIM_SIDE // 2
    window = np.exp(-(offsets**2) / (2 * _SSIM_SIGMA**2))
    window /= window.sum()
    for axis in (0, 1):
        inside = values.shape[axis] - _SSIM_SIDE + 1
        slices = (np.s_[k : k + inside] if axis == 0 else np.s_[:, k : k + inside] for k in range(_SSIM_SIDE))
        values = np.add.reduce([weight * values[part] for weight, part in zip(window, slices, strict=True)])
    return values


class SuperResolutionScore:
    """PSNR and SSIM on Y, each the mean over images, as is usual in super-resolution papers.

    It keeps integer billionths of a dB and of SSIM. An image without any error counts as 100 dB.

    Args:
        border_px: rows and columns to leave out at each side, usually the scale.
    """

    def __init__(self, border_px: int) -> None:
        if border_px < 0:
            raise ValueError(f"border_px must not be negative, got {border_px}")
        self.border_px = border_px
        self.sums: NDArray[np.int64]
        self.reset()

    def reset(self) -> None:
        """Set all counts to zero."""
        # number of images, sums of PSNR and SSIM in billionths
        self.sums = np.zeros(3, np.int64)

    def state(self) -> NDArray[np.int64]:
        """The counts so far, (3,) int64; states add up."""
        return self.sums

    def update(self, image: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
        """Compare one image with the original, both (H, W, 3) uint8 RGB.

        Raises:
            InputError: too little is left inside the border.
            ValueError: the shapes differ.
        """
        if image.shape != target.shape:
            raise ValueError(f"the image is {image.shape}, the target is {target.shape}")
        height, width = image.shape[:2]
        border = self.border_px
        if min(height, width) < 2 * border + _SSIM_SIDE:
            raise InputError(
                f"a score needs {2 * border + _SSIM_SIDE} pixels a side with a border of {border}, "
                f"got {describe_size((height, width))}"
            )
        inside = np.s_[border : height - border, border : width - border]
        first, second = luma(image[inside]), luma(target[inside])
        scores = min(psnr(first, second), _MOST_DB), ssim(first, second)
        self.sums += np.array([1, *(round(score * _BILLION) for score in scores)], np.int64)

    def compute(self) -> dict[str, Any]:
        """-> `psnr_y` in dB and `ssim_y` in 0..1; NaN before the first image."""
        images, *totals = (int(value) for value in self.sums)
        psnr_y, ssim_y = (total / images / _BILLION if images else math.nan for total in totals)
        return {"psnr_y": psnr_y, "ssim_y": ssim_y}
