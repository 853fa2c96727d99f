"""Turns a model into an equal one that runs faster or that can be exported."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from densevit.core.manifest import Manifest
from densevit.models.attention import MultiScaleAttention
from densevit.models.layers import ConvNorm


def fold_norms(model: nn.Module) -> nn.Module:
    """A copy on the CPU, in inference mode, whose BatchNorms have become part of the convolutions before them.

    The factors are computed in float64, which not every accelerator has, and rounded once.
    """
    folded = copy.deepcopy(model).cpu().eval()
    for layer in folded.modules():
        if isinstance(layer, ConvNorm) and isinstance(layer.norm, nn.BatchNorm2d):
            layer.conv = _fold(layer.conv, layer.norm)
            layer.norm = nn.Identity()
    return folded


def for_export(model: nn.Module) -> nn.Module:
    """A folded copy whose attention does not choose by size, so that one graph serves all sizes."""
    folded = fold_norms(model)
    for layer in folded.modules():
        if isinstance(layer, MultiScaleAttention):
            layer.implementation = "linear"
    return folded.requires_grad_(False)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = torch.zeros_like(norm.running_mean) if conv.bias is None else conv.bias
    with torch.no_grad():
        folded = copy.deepcopy(conv)
        folded.weight.copy_(conv.weight.double() * factor.view(-1, 1, 1, 1))
        shifted = (bias.double() - norm.running_mean.double()) * factor + norm.bias.double()
        folded.bias = nn.Parameter(shifted.to(conv.weight.dtype))
    return folded


class ImageInput(nn.Module):
    """Normalization and layout in front of a network, so that it takes images as they are.

    Args:
        network: takes (B, C, H, W) normalized.
        mean: of each channel, for values in 0..1.
        std: of each channel.
    """

    shift: Tensor
    factor: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("shift", 255 * torch.tensor(mean, dtype=torch.float64).float(), persistent=False)
        factor = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        self.register_buffer("factor", factor.float(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, H, W, C) uint8 -> the network's answer."""
        normalized = (image.float() - self.shift) * self.factor
        out: Tensor = self.network(normalized.permute(0, 3, 1, 2))
        return out


def with_image_input(module: nn.Module, dtype: str, manifest: Manifest) -> nn.Module:
    """The module with the input that a task's signature states.

    Args:
        module: takes (B, C, H, W) normalized.
        dtype: "uint8" for images (B, H, W, C) as they are, anything else for what the module takes itself.
        manifest: states the normalization.
    """
    return ImageInput(module, manifest.mean, manifest.std) if dtype == "uint8" else module
