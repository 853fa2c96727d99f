"""Names for what the label map computes with."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Align = Literal["bilinear", "bicubic"]
Floats = NDArray[np.float32]
Integers = NDArray[np.intp]
Bools = NDArray[np.bool_]
Labels = NDArray[Any]

TAPS: dict[Align, int] = {"bilinear": 2, "bicubic": 4}
"""Logits pixels that an interpolated value reads along one axis."""
