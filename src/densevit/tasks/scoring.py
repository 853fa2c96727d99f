"""What a task gives so that its results can be scored on a data set."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Scorer(Protocol):
    """The scores of a task, from its results."""

    def open_sample(self, sample: Any) -> tuple[NDArray[np.uint8], Any]:
        """(the image to answer, the truth about it); runs in another thread."""
        ...

    def update(self, result: Any, truth: Any) -> None:
        """Counts one result."""
        ...

    def state(self) -> NDArray[np.int64]:
        """All counts; those of several processes are summed."""
        ...

    def compute(self, counts: NDArray[np.int64]) -> dict[str, Any]:
        """The scores of these counts.

        Raises:
            InputError: nothing was counted.
        """
        ...
