"""AdamW or Muon with the decay where it belongs, the learning rate's course, and the averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from densevit.train.muon import Muon, matrices
from densevit.train.options import Options


def build_optimizer(model: nn.Module, options: Options) -> torch.optim.Optimizer:
    """The optimizer of the options; weight decay on convolution and linear weights, none on norms and biases."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    if options.optimizer == "muon":
        dense = matrices(model)
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


def learning_rate(step: int, options: Options) -> float:
    """Linear warm-up, then half a cosine down to zero; `step` counts from 0."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class AveragedModel:
    """Exponential moving average of weights and BatchNorm statistics.

    The decay grows from 0 to its final value over the first steps, so that the random start is forgotten.

    Args:
        model: is copied.
        decay: final decay per step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the model after optimizer step `step` (from 0)."""
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
