"""Several processes that evaluate one data set together, as an evaluation sees them."""

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
        """Number of this process from 0; rank 0 reports."""
        ...

    @property
    def size(self) -> int:
        """Number of processes."""
        ...

    def sum(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of all processes' counts, which have the same shape; every process must call this and gets it.

        Raises:
            ProcessLostError: another process ended or does not answer.
        """
        ...


@dataclass(frozen=True)
class SingleProcess:
    """A process that evaluates alone."""

    rank: int = 0
    size: int = 1

    def sum(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The counts themselves."""
        return counts
