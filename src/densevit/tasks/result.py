"""Parts of results that several tasks share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit import imaging


@dataclass(frozen=True)
class Drawing:
    """A drawn image: (H, W, 3) uint8 RGB in `array`."""

    array: NDArray[np.uint8]

    def save(self, path: str | Path) -> None:
        """Writes it in the format of the suffix."""
        imaging.save(self.array, path)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.array, dtype=dtype, copy=True if copy is None else copy)
