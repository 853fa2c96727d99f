"""The samples of each step, from seed, step and rank alone."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import torch
from torch import Tensor

from densevit.core.errors import InputError, UsageError
from densevit.train.distributed import World
from densevit.train.options import Options

Batch = dict[str, Tensor]


class Batches:
    """Makes the batch of each step from samples that it shuffles anew every epoch.

    Order and augmentation depend only on seed, step and rank, so a resumed training needs no stored state for
    them.

    Args:
        length: number of samples.
        make: (indices, generator) -> batch on the device; the generator is on the CPU.
    """

    def __init__(self, length: int, make: Callable[[list[int], torch.Generator], Batch]) -> None:
        if length < 1:
            raise InputError("a training needs at least one sample; check the folder and the split")
        self.length = length
        self.make = make

        self._permutation: tuple[tuple[int, int], list[int]] = ((-1, -1), [])

    def __call__(self, step: int, options: Options, place: World) -> Batch:
        """The batch of one step for one rank.

        Raises:
            UsageError: the batch cannot be split evenly over the ranks.
        """
        if options.batch % place.size:
            raise UsageError(f"batch {options.batch} must be a multiple of the {place.size} ranks")
        share = options.batch // place.size
        first = step * options.batch + place.rank * share
        indices = [self._find_sample(position, options.seed) for position in range(first, first + share)]
        generator = torch.Generator().manual_seed(mix_seeds(options.seed, step, place.rank))
        return self.make(indices, generator)

    def _find_sample(self, position: int, seed: int) -> int:
        """Each epoch has its own permutation; a batch may span two epochs."""
        epoch, place = divmod(position, self.length)
        if self._permutation[0] != (seed, epoch):
            order = list(range(self.length))
            random.Random(mix_seeds(seed, epoch, -1)).shuffle(order)
            self._permutation = ((seed, epoch), order)
        return self._permutation[1][place]


def mix_seeds(*numbers: int) -> int:
    """Derives a seed from several numbers, the same on every rank, machine and Python version."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7])
