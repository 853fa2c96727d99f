"""The processes that torchrun started, joined by gloo on the CPU: evaluating only ever sums a few counts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from densevit.core.messages import first_line
from densevit.core.processes import PeersLostError

TIMEOUT = timedelta(minutes=30)
"""How long the processes wait for the slowest of them; one that ends is noticed at once."""
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class GlooPeers:
    """This process among those of the default process group."""

    rank: int
    size: int

    def sum(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of all processes' counts.

        Raises:
            PeersLostError: one of them ended or does not answer.
        """
        total = torch.from_numpy(counts.copy())
        try:
            dist.all_reduce(total)
        except RuntimeError as error:
            raise PeersLostError(
                f"process {self.rank} of {self.size}: another process ended or does not answer, see its message "
                f"({first_line(error)})"
            ) from error
        return total.numpy()


@contextmanager
def joined(timeout: timedelta = TIMEOUT) -> Iterator[GlooPeers]:
    """Joins the processes that torchrun started, and leaves them; an error here does not wait for the others.

    Raises:
        ValueError: not started by torchrun.
        PeersLostError: the others do not come.
    """
    if missing := [name for name in _VARIABLES if name not in os.environ]:
        raise ValueError(
            f"WORLD_SIZE is set, {missing[0]} is not: start several processes with torchrun, or unset WORLD_SIZE"
        )
    try:
        dist.init_process_group("gloo", timeout=timeout)
    except RuntimeError as error:  # the store's errors are RuntimeErrors too
        raise PeersLostError(f"the other processes do not come ({first_line(error)})") from error
    try:
        yield GlooPeers(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
