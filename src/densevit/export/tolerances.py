"""How far a file may be from its model, and what a precision may lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCES: dict[str, float] = {"fp32": 5e-4, "bf16": 0.25, "fp16": 0.05}
"""Precision of an artefact -> largest difference of an output's value from the fp32 model's."""
_USUAL_OUTPUT = 25.0  # rounding grows with the values; those of trained networks stay below this

MAX_LOSS: dict[str, float] = {"miou": 0.1, "top1": 0.1, "iou": 0.1, "psnr_y": 0.02}
"""Leading score of a task -> what a verified precision may lose of it, in points or dB (design.md, Python)."""


def find_tolerance(expected: NDArray[Any], precision: str = "fp32") -> float:
    """Largest allowed difference from these values."""
    return TOLERANCES[precision] * max(1.0, float(np.abs(expected).max()) / _USUAL_OUTPUT)


def find_verified(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The precisions that may be listed as verified.

    Args:
        scores: precision -> metrics of `evaluate`, fp32 among them.

    Returns:
        Those whose leading score is at most `MAX_LOSS` below that of fp32.

    Raises:
        ValueError: no fp32, or no leading score.
    """
    reference = scores.get("fp32", {})
    leading = next((name for name in MAX_LOSS if name in reference), None)
    if leading is None:
        raise ValueError(f"scores in fp32 must have one of {', '.join(MAX_LOSS)}")
    least = reference[leading] - MAX_LOSS[leading]
    return [precision for precision, measured in scores.items() if measured[leading] >= least]
