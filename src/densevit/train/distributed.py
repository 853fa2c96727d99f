"""One process or many: the little that the loop needs to know of it. Started by torchrun, or alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from densevit.runtimes.eager import choose_device


@dataclass(frozen=True)
class World:
    """This process among its peers."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes; every one of them must call."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def wait(self) -> None:
        """Return when all processes have arrived."""
        if self.size > 1:
            dist.barrier()


def training_device(name: str) -> torch.device:
    """As `densevit.runtimes.eager.choose_device`; "auto" and "cuda" are each process's own GPU under torchrun.

    Raises:
        UnavailableError: not a device name, or one that this machine has not.
    """
    device = choose_device(name)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device


@contextmanager
def world(device: torch.device) -> Iterator[World]:
    """Joins the processes that torchrun started; alone when it did not."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, device)
        return
    # the leader validates while the others wait, which takes as long as it takes
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
