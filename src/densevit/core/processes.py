"""Several processes that evaluate one data set together: what an evaluation needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import UnavailableError


class ProcessLostError(UnavailableError):
    """Another process ended or does not answer; its own message says why."""


class Processes(Protocol):
    """This process among the others."""

    @property
    def rank(self) -> int:
        """0 for the one that reports."""
        ...

    @property
    def size(self) -> int:
        """How many processes."""
        ...

    def sum(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of all processes' counts, of one shape; every one of them must call, and all get it.

        Raises:
            ProcessLostError: one of them ended or does not answer.
        """
        ...


@dataclass(frozen=True)
class SingleProcess:
    """One process."""

    rank: int = 0
    size: int = 1

    def sum(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The counts themselves."""
        return counts
