"""Several processes that evaluate one data set together, as an evaluation sees them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import UnavailableError, UsageError


class ProcessLostError(UnavailableError):
    """Another process ended or does not answer; its own message says why."""


@dataclass(frozen=True)
class Launch:
    """What torchrun says about this process.

    Attributes:
        rank: number of this process from 0.
        size: number of processes, 1 without torchrun.
        local_rank: number of this process on its machine, from 0.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0


def read_launch() -> Launch:
    """Reads RANK, WORLD_SIZE and LOCAL_RANK, which torchrun sets; the only place that does.

    Raises:
        UsageError: one of them is not a number, or there are fewer processes than the rank says.
    """
    names = {"rank": ("RANK", "0"), "size": ("WORLD_SIZE", "1"), "local_rank": ("LOCAL_RANK", "0")}
    values = {}
    for field, (variable, default) in names.items():
        text = os.environ.get(variable, default)
        if not text.isdecimal():
            what = "the number of processes" if field == "size" else "a whole number"
            raise UsageError(f"{variable} must be {what}, got {text!r}; torchrun sets it")
        values[field] = int(text)
    launch = Launch(**values)
    if launch.size > 1 and launch.rank >= launch.size:
        raise UsageError(
            f"RANK is {launch.rank}, but WORLD_SIZE is {launch.size}; start the processes with torchrun"
        )
    return launch


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
