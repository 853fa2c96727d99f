"""Mean intersection over union and pixel accuracy of label maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.metrics.states import check_state

IGNORE = 255
"""Label of a pixel that scores and losses ignore."""


class SegmentationScore:
    """Mean intersection over union and pixel accuracy over a whole set.

    Intersections and unions are summed over all images per class, then divided; the mean excludes classes that
    occur neither in labels nor in targets.

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
        """Set all counts to zero."""
        classes = len(self.class_names)
        # rows are targets, columns predictions; the last column is for predictions outside the classes, which
        # still miss their target
        self.confusion = np.zeros((classes, classes + 1), np.int64)

    def update(self, labels: NDArray[np.integer], target: NDArray[np.integer]) -> None:
        """Count one image.

        Args:
            labels: (H, W) predicted classes; one outside the classes counts as wrong where the target counts.
            target: (H, W) true classes, `ignore` where it is unknown.

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
        check_state(state, self.confusion)
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
