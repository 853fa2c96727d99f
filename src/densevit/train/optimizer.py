"""The optimizer with its weight decay, the learning rate schedule, and the averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from densevit.train.muon import Muon, find_matrices
from densevit.train.options import Options


def build_optimizer(model: nn.Module, options: Options) -> torch.optim.Optimizer:
    """Builds the optimizer; weight decay applies to convolution and linear weights, not to norms and biases."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    if options.optimizer == "muon":
        dense = find_matrices(model)
        known = {id(parameter) for parameter in dense}
        decay = options.weight_decay
        return Muon(
            [
                {"params": dense, "orthogonal": True, "weight_decay": decay},
                {"params": [p for p in decayed if id(p) not in known], "weight_decay": decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=options.learning_rate,
        )
    groups: Iterable[dict[str, object]] = (
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    )
    return torch.optim.AdamW(groups, lr=options.learning_rate)


def compute_learning_rate(step: int, options: Options) -> float:
    """The learning rate of a step, counted from 0: linear warm-up, then a cosine decay to zero."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class AveragedModel:
    """Exponential moving average of weights and BatchNorm statistics.

    The decay grows over the first steps to its final value, so that the random initial weights lose their
    influence.

    Args:
        model: its copy holds the averages.
        decay: final decay per step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Adds the weights after optimizer step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged: list[Tensor] = []
        current: list[Tensor] = []
        theirs = model.state_dict()
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                averaged.append(tensor)
                current.append(theirs[name])
            else:
                tensor.copy_(theirs[name])
        torch._foreach_lerp_(averaged, current, 1 - decay)
