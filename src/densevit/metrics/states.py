"""Checks of the counts that scores exchange between processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def check_state(state: NDArray[np.int64], own: NDArray[np.int64]) -> None:
    """Refuses, with a ValueError, the state of another kind of score."""
    if state.shape != own.shape or state.dtype != own.dtype:
        raise ValueError(f"the state is {state.dtype} {state.shape}, this score's {own.dtype} {own.shape}")
