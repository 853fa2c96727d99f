"""Muon: momentum updates are orthogonalized, so that every direction of a weight matrix learns equally fast."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

_ITERATIONS = 5
# Iterating this quintic moves singular values towards 1 (Jordan 2024, "Muon"); they end between about 0.7 and 1.2.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# Root mean square of updates per unit of learning rate, as is usual for Adam (Liu et al. 2025, arXiv 2502.16982),
# so that both share one learning rate.
_UPDATE_RMS = 0.2
_SMALLEST_SIDE = 16


def orthogonalize(matrix: Tensor) -> Tensor:
    """(rows, columns) -> approximately U V^T of its singular value decomposition U S V^T, in fp32."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x.float() / (x.float().norm() + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    out: Tensor = x.T if tall else x
    return out


def find_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights of dense convolutions and linear layers with many input and output channels.

    Adam updates the rest: first and last layers have few channels on one side, depthwise and grouped convolutions
    on both.
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
        momentum: Nesterov momentum of the orthogonal updates.
        betas: decay rates of AdamW.
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
        """Updates every parameter that has a gradient; closures are not supported."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                if group["orthogonal"]:
                    self._step_muon(parameter, group)
                else:
                    self._step_adam(parameter, group)

    def _step_muon(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        update = parameter.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
        size = _UPDATE_RMS * max(update.shape) ** 0.5
        parameter.sub_(orthogonalize(update).view_as(parameter), alpha=group["lr"] * size)

    def _step_adam(self, parameter: Tensor, group: dict[str, Any]) -> None:
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
