"""Scores: update with one answer at a time, compute once, reset to begin again.

All that a score keeps are counts, so that the sum of several processes' states is exactly the state of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""Label of a pixel that no score and no loss looks at."""


class SegmentationScore:
    """Mean intersection over union and pixel accuracy over a whole set.

    Intersections and unions are summed over all pictures per class, then divided; a class that occurs in
    neither labels nor targets does not enter the mean.

    Args:
        class_names: one name per class.
        ignore: target value of pixels to leave out.
    """

    def __init__(self, class_names: Sequence[str], *, ignore: int = IGNORE) -> None:
        if not class_names:
            raise ValueError("class_names must name at least one class")
        self.class_names = tuple(class_names)
        self.ignore = ignore
        self.confusion: NDArray[np.int64]
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        classes = len(self.class_names)
        # rows are targets, columns predictions; the last column takes predictions that are no class here,
        # so that they still miss their target
        self.confusion = np.zeros((classes, classes + 1), np.int64)

    def update(self, labels: NDArray[np.integer], target: NDArray[np.integer]) -> None:
        """Count one picture.

        Args:
            labels: (H, W) predicted classes; one outside the classes counts as wrong where the target counts.
            target: (H, W) true classes, `ignore` where none is known.

        Raises:
            ValueError: the shapes differ, or a target is neither a class nor `ignore`.
        """
        if labels.shape != target.shape:
            raise ValueError(f"labels are {labels.shape}, the target is {target.shape}")
        classes = len(self.class_names)
        known = target != self.ignore
        truth = target[known].astype(np.int64)
        predicted = labels[known].astype(np.int64)
        if truth.size and (truth.min() < 0 or truth.max() >= classes):
            raise ValueError(
                f"targets must be 0..{classes - 1} or {self.ignore}, got {truth.min()}..{truth.max()}"
            )
        predicted = np.where((predicted >= 0) & (predicted < classes), predicted, classes)
        counts = np.bincount(truth * (classes + 1) + predicted, minlength=classes * (classes + 1))
        self.confusion += counts.reshape(classes, classes + 1)

    def state(self) -> NDArray[np.int64]:
        """The counts so far, (classes, classes + 1) int64: a copy."""
        return self.confusion.copy()

    def merge(self, state: NDArray[np.int64]) -> None:
        """Add the `state` of a score of the same classes.

        Raises:
            ValueError: a state of other classes.
        """
        _check_state(state, self.confusion)
        self.confusion += state

    def compute(self) -> dict[str, Any]:
        """-> `miou` and `pixel_accuracy` in percent, `iou_per_class` (None where a class never occurred)."""
        classes = len(self.class_names)
        hits = np.diag(self.confusion[:, :classes]).astype(np.float64)
        union = self.confusion.sum(1) + self.confusion[:, :classes].sum(0) - hits
        seen = union > 0
        iou = np.divide(hits, union, out=np.zeros(classes), where=seen)
        total = self.confusion.sum()
        return {
            "miou": float(100 * iou[seen].mean()) if seen.any() else float("nan"),
            "pixel_accuracy": float(100 * hits.sum() / total) if total else float("nan"),
            "iou_per_class": {
                name: float(100 * value) if known else None
                for name, value, known in zip(self.class_names, iou, seen, strict=True)
            },
        }


class ClassificationScore:
    """Top-1 and top-5 accuracy over a whole set.

    The place of the true class is the number of classes with a larger logit, or with the same logit and a lower
    index: ties are broken as `argmax` breaks them, the same on every machine. Logits that are not numbers miss.
    With five classes or fewer, the true one is always among five, so that top-5 is 100.

    Args:
        classes: how many.
    """

    def __init__(self, classes: int) -> None:
        if classes < 1:
            raise ValueError(f"classes: got {classes}; allowed: 1 or more")
        self.classes = classes
        self.counts: NDArray[np.int64]
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.counts = np.zeros(3, np.int64)

    def update(self, logits: NDArray[np.floating[Any]], target: int) -> None:
        """Count one picture.

        Args:
            logits: (classes,), larger is likelier.
            target: index of the true class.

        Raises:
            ValueError: logits of another shape, or a target that is no class.
        """
        if logits.shape != (self.classes,):
            raise ValueError(f"logits are {logits.shape}, there are {self.classes} classes")
        if not 0 <= target < self.classes:
            raise ValueError(f"target must be 0..{self.classes - 1}, got {target}")
        place = int((logits > logits[target]).sum() + (logits[:target] == logits[target]).sum())
        known = not np.isnan(logits).any()
        self.counts += np.array([known and place < 1, known and place < 5, True])

    def state(self) -> NDArray[np.int64]:
        """The counts so far, (3,) int64: top-1 hits, top-5 hits, pictures; a copy."""
        return self.counts.copy()

    def merge(self, state: NDArray[np.int64]) -> None:
        """Add the `state` of another score.

        Raises:
            ValueError: not such a state.
        """
        _check_state(state, self.counts)
        self.counts += state

    def compute(self) -> dict[str, Any]:
        """-> `top1` and `top5` in percent, NaN where no picture was counted."""
        first, five, total = (int(count) for count in self.counts)
        return {
            "top1": 100 * first / total if total else float("nan"),
            "top5": 100 * five / total if total else float("nan"),
        }


def _check_state(state: NDArray[np.int64], own: NDArray[np.int64]) -> None:
    if state.shape != own.shape or state.dtype != own.dtype:
        raise ValueError(f"the state is {state.dtype} {state.shape}, this score's {own.dtype} {own.shape}")


_SSIM_SIDE = 11
_SSIM_SIGMA = 1.5
_MOST_DB = 100.0
_BILLION = 10**9


def luma(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W, 3) uint8 RGB -> (H, W) float64 in 16..235, not rounded.

    Y of ITU-R BT.601, with the coefficients of MATLAB's rgb2ycbcr.
    """
    weights = np.array([65.481, 128.553, 24.966]) / 255
    return 16 + picture.astype(np.float64) @ weights


def psnr(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Peak signal to noise ratio in dB of two maps of the same shape in 0..255; infinite where they are equal."""
    error = float(np.mean(np.square(first - second)))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Structural similarity of two (H, W) maps in 0..255 (Wang et al. 2004, equation 13).

    A Gaussian window of 11 x 11, sigma 1.5, and only where it lies inside the maps, so that the mean is over
    (H - 10, W - 10) positions.

    Raises:
        ValueError: maps smaller than the window.
    """
    if min(first.shape) < _SSIM_SIDE:
        raise ValueError(f"SSIM needs at least {_SSIM_SIDE} pixels a side, got {first.shape}")
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
    """PSNR and SSIM on Y, each the mean over pictures, as the super-resolution literature reports them.

    What it keeps are whole billionths of a dB and of SSIM. A picture without any error counts as 100 dB.

    Args:
        border_px: rows and columns left out at each side, by custom the scale.
    """

    def __init__(self, border_px: int) -> None:
        if border_px < 0:
            raise ValueError(f"border_px must not be negative, got {border_px}")
        self.border_px = border_px
        self.sums: NDArray[np.int64]
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        # pictures, PSNR, SSIM
        self.sums = np.zeros(3, np.int64)

    def state(self) -> NDArray[np.int64]:
        """(3,) int64: all that was counted; states add up."""
        return self.sums

    def update(self, picture: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
        """Compare one picture with the original, both (H, W, 3) uint8 RGB.

        Raises:
            ValueError: the shapes differ, or nothing is left inside the border.
        """
        if picture.shape != target.shape:
            raise ValueError(f"the picture is {picture.shape}, the target is {target.shape}")
        height, width = picture.shape[:2]
        border = self.border_px
        if min(height, width) < 2 * border + _SSIM_SIDE:
            raise ValueError(
                f"a score needs {2 * border + _SSIM_SIDE} pixels a side with a border of {border}, "
                f"got {height} x {width}"
            )
        inside = np.s_[border : height - border, border : width - border]
        first, second = luma(picture[inside]), luma(target[inside])
        scores = min(psnr(first, second), _MOST_DB), ssim(first, second)
        self.sums += np.array([1, *(round(score * _BILLION) for score in scores)], np.int64)

    def compute(self) -> dict[str, Any]:
        """-> `psnr_y` in dB and `ssim_y` in 0..1; not a number before the first picture."""
        pictures, *totals = (int(value) for value in self.sums)
        psnr_y, ssim_y = (total / pictures / _BILLION if pictures else math.nan for total in totals)
        return {"psnr_y": psnr_y, "ssim_y": ssim_y}
