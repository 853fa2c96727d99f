"""Distributed training: the rank, the number of ranks and the few collectives that the loop uses."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from densevit.core.processes import read_launch
from densevit.runtimes.eager import choose_device


@dataclass(frozen=True)
class World:
    """The rank of this process, the number of ranks and this rank's device."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which writes files and shows progress."""
        return self.rank == 0

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Averages over all ranks; every rank must call it."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def any(self, happened: int) -> bool:
        """Whether it happened on any rank; every rank must call it."""
        if self.size == 1:
            return bool(happened)
        flag = torch.tensor([float(bool(happened))], device=self.device)
        dist.all_reduce(flag)
        return bool(flag.item())

    def wait(self) -> None:
        """Blocks until all ranks have called it."""
        if self.size > 1:
            dist.barrier()


def training_device(name: str) -> torch.device:
    """As `densevit.runtimes.eager.choose_device`; under torchrun "auto" and "cuda" mean the rank's own GPU.

    Raises:
        UnavailableError: not the name of a device of this machine.
    """
    device = choose_device(name)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", read_launch().local_rank)
    return device


@contextmanager
def world(device: torch.device) -> Iterator[World]:
    """Joins the ranks that torchrun started; without torchrun there is one rank."""
    if read_launch().size <= 1:
        yield World(0, 1, device)
        return
    # the other ranks wait while rank 0 validates, which may take long
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
        # DistributedDataParallel is in reference cycles and holds the group too. A group that lives until the
        # interpreter ends is destroyed with its threads running, which now and then aborts the process.
        gc.collect()
