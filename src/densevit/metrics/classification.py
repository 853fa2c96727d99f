"""Accuracy of images with one class each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.metrics.states import check_state


class ClassificationScore:
    """Top-1 and top-5 accuracy over a whole set.

    The rank of the true class is the number of classes with a larger logit, or with the same logit and a lower
    index: ties are broken like in `argmax`, the same on every machine. NaN logits miss. With five classes or
    fewer, top-5 is always 100.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        if classes < 1:
            raise ValueError(f"classes: got {classes}; allowed: 1 or more")
        self.classes = classes
        self.counts: NDArray[np.int64]
        self.reset()

    def reset(self) -> None:
        """Set all counts to zero."""
        self.counts = np.zeros(3, np.int64)

    def update(self, logits: NDArray[np.floating[Any]], target: int) -> None:
        """Count one image.

        Args:
            logits: (classes,), larger is more likely.
            target: index of the true class.

        Raises:
            ValueError: logits of another shape, or a target outside the classes.
        """
        if logits.shape != (self.classes,):
            raise ValueError(f"logits are {logits.shape}, there are {self.classes} classes")
        if not 0 <= target < self.classes:
            raise ValueError(f"target must be 0..{self.classes - 1}, got {target}")
        rank = int((logits > logits[target]).sum() + (logits[:target] == logits[target]).sum())
        known = not np.isnan(logits).any()
        self.counts += np.array([known and rank < 1, known and rank < 5, True])

    def state(self) -> NDArray[np.int64]:
        """The counts so far, (3,) int64: top-1 hits, top-5 hits, images; a copy."""
        return self.counts.copy()

    def merge(self, state: NDArray[np.int64]) -> None:
        """Add the `state` of another score.

        Raises:
            ValueError: a state of another shape or type.
        """
        check_state(state, self.counts)
        self.counts += state

    def compute(self) -> dict[str, Any]:
        """-> `top1` and `top5` in percent, NaN where no image was counted."""
        first, five, total = (int(count) for count in self.counts)
        return {
            "top1": 100 * first / total if total else float("nan"),
            "top5": 100 * five / total if total else float("nan"),
        }
