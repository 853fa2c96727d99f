"""The processes that torchrun started, connected by gloo on the CPU: evaluation only sums a few counts."""

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

from densevit.core.errors import UsageError
from densevit.core.messages import first_line
from densevit.core.processes import ProcessLostError

TIMEOUT = timedelta(minutes=30)
"""The processes wait this long for the slowest one; they notice at once when one ends."""
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class GlooProcesses:
    """This process among those of the default process group."""

    rank: int
    size: int

    def sum(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of all processes' counts.

        Raises:
            ProcessLostError: another process ended or does not answer.
        """
        total = torch.from_numpy(counts.copy())
        try:
            dist.all_reduce(total)
        except RuntimeError as error:
            raise ProcessLostError(
                f"rank {self.rank} of {self.size}: another process ended or does not answer; see its message "
                f"({first_line(error)})"
            ) from error
        return total.numpy()


@contextmanager
def join_processes(timeout: timedelta = TIMEOUT) -> Iterator[GlooProcesses]:
    """Joins the processes that torchrun started, and leaves them; after an error it does not wait for the others.

    Raises:
        UsageError: not started by torchrun.
        ProcessLostError: the other processes do not join.
    """
    if missing := [name for name in _VARIABLES if name not in os.environ]:
        raise UsageError(
            f"WORLD_SIZE is set, {missing[0]} is not: start several processes with torchrun, or unset WORLD_SIZE"
        )
    try:
        dist.init_process_group("gloo", timeout=timeout)
    except RuntimeError as error:  # the store's errors are RuntimeErrors too
        raise ProcessLostError(
            f"the other processes did not join ({first_line(error)}); see their messages"
        ) from error
    try:
        yield GlooProcesses(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
