"""Muon: momentum whose matrices are made orthogonal, so that every direction of a weight learns equally fast."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

_ITERATIONS = 5
# Quintic whose iteration brings singular values near 1 fast (Jordan 2024, "Muon"); they end in about 0.7 to 1.2.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# Updates of this root mean square per unit of learning rate: what Adam's usually are (Liu et al. 2025,
# arXiv 2502.16982), so that one learning rate serves both.
_UPDATE_RMS = 0.2
_SMALLEST_SIDE = 16


def orthogonal(matrix: Tensor) -> Tensor:
    """(rows, columns) -> about U V^T of its singular value decomposition U S V^T, in fp32."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x.float() / (x.float().norm() + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    out: Tensor = x.T if tall else x
    return out


def matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights that mix many channels with many: those of dense convolutions and linear layers.

    First and last layers have few channels on one side, depthwise and grouped ones on both; they are left to
    Adam.
    """
    found = []
    for module in model.modules():
        dense = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
        if dense and min(module.weight.shape[:2]) >= _SMALLEST_SIDE and module.weight.requires_grad:  # type: ignore[index]
            found.append(module.weight)
    return found  # type: ignore[return-value]


class Muon(Optimizer):
    """Muon for groups with `orthogonal=True`, AdamW for the others.

    Args:
        groups: dictionaries with `params`, `orthogonal` and `weight_decay`.
        lr: learning rate of both kinds.
        momentum: of the orthogonal updates, in Nesterov's form.
        betas: of AdamW.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        defaults = {"lr": lr, "orthogonal": False, "weight_decay": 0.0, "momentum": momentum, "betas": betas}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient; closures are not supported."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                if group["orthogonal"]:
                    self._orthogonal_step(parameter, group)
                else:
                    self._adam_step(parameter, group)

    def _orthogonal_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        update = parameter.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
        size = _UPDATE_RMS * max(update.shape) ** 0.5
        parameter.sub_(orthogonal(update).view_as(parameter), alpha=group["lr"] * size)

    def _adam_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        state["mean"].lerp_(parameter.grad, 1 - first)
        state["square"].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
        scale = (1 - second ** state["step"]) ** 0.5
        denominator = state["square"].sqrt().div_(scale).add_(1e-8)
        parameter.addcdiv_(state["mean"], denominator, value=-group["lr"] / (1 - first ** state["step"]))
