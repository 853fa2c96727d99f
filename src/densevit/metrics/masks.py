"""Overlap of masks with single objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.metrics.states import check_state

_BILLION = 10**9

_GROUPS = {
    "iou": (0, np.inf),
    "iou_small": (0, 32**2),
    "iou_medium": (32**2, 96**2),
    "iou_large": (96**2, np.inf),
}
"""The smallest and largest area of each group, both inclusive: an object on a border counts twice.

COCO's evaluation and that of EfficientViT-SAM do the same.
"""


class MaskScore:
    """Mean over objects of the intersection over union of a mask with the true one; also by size.

    It keeps integer billionths, so that the sum over several processes equals that of one process.
    """

    def __init__(self) -> None:
        self.sums: NDArray[np.int64]
        self.reset()

    def reset(self) -> None:
        """Set all counts to zero."""
        # per group: number of objects, sum in billionths
        self.sums = np.zeros((len(_GROUPS), 2), np.int64)

    def update(self, iou: NDArray[np.floating[Any]], area: NDArray[np.floating[Any]]) -> None:
        """Count some objects.

        Args:
            iou: (N,) intersection over union, 0..1.
            area: (N,) of the true objects in pixels, as annotated.

        Raises:
            ValueError: the shapes differ, or values are out of range.
        """
        if iou.shape != area.shape or iou.ndim != 1:
            raise ValueError(f"iou is {iou.shape}, area {area.shape}; allowed: both (N,)")
        if not ((iou >= 0) & (iou <= 1)).all() or not (area >= 0).all():
            raise ValueError("iou must be 0..1, area not negative")
        billionths = np.rint(iou.astype(np.float64) * _BILLION).astype(np.int64)
        for group, (least, most) in enumerate(_GROUPS.values()):
            within = (area >= least) & (area <= most)
            self.sums[group] += within.sum(), billionths[within].sum()

    def state(self) -> NDArray[np.int64]:
        """The counts so far, (4, 2) int64: a copy."""
        return self.sums.copy()

    def merge(self, state: NDArray[np.int64]) -> None:
        """Add the `state` of another score.

        Raises:
            ValueError: a state of another shape or type.
        """
        check_state(state, self.sums)
        self.sums += state

    def compute(self) -> dict[str, Any]:
        """-> `iou`, `iou_small`, `iou_medium` and `iou_large` in percent, None where there was no object."""
        sums = self.sums.tolist()
        return {
            name: 100 * total / objects / _BILLION if objects else None
            for name, (objects, total) in zip(_GROUPS, sums, strict=True)
        }
