"""EfficientViT-SR's head, and the bicubic enlargement that it corrects."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densevit.imaging import compute_phase_weights
from densevit.models.any_size import to_pixels
from densevit.models.attention import MultiScaleAttention
from densevit.models.backbone import Feature, of_strides
from densevit.models.blocks import MBConv, PlainResidual, residual_stack
from densevit.models.fusion import Fusion
from densevit.models.layers import ConvNorm
from densevit.variants import SuperResolutionHeadTable


class SuperResolutionHead(nn.Module):
    """Fuses the maps at the input's resolution and turns each position into `scale` x `scale` pixels.

    Args:
        table: widths and depth.
        features: the backbone's features, finest first.
        scale: of height and width.
        channels: of the image.
        norm_eps: epsilon of BatchNorms.
        norm: False gives biases instead of BatchNorms.

    Raises:
        ValueError: the backbone lacks a stride of the table.
    """

    def __init__(
        self,
        table: SuperResolutionHeadTable,
        features: Sequence[Feature],
        *,
        scale: int,
        channels: int,
        norm_eps: float,
        norm: bool,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.inputs = of_strides(features, table.strides)
        used = [features[index] for index in self.inputs]
        self.fusion = Fusion(used, table.width, norm_eps=norm_eps, norm=norm, upsampling="bilinear")
        self.middle = residual_stack(table, norm_eps=norm_eps, norm=norm)
        self.output = ConvNorm(table.width, channels * scale**2, 3, norm=False, bias=True)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps of the backbone, finest first -> (B, channels, H * scale, W * scale)."""
        fused = self.middle(self.fusion([maps[index] for index in self.inputs]))
        return to_pixels(self.output(fused), self.scale)


def enlarge(image: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement by a whole factor, as MATLAB's imresize: a = -1/2, borders mirrored, nothing rounded.

    For a whole factor the weights repeat with every pixel of the input, so it is a sum of shifted copies per
    phase; written so, it survives every export, and half precision elsewhere in a graph does not reach it.

    Args:
        image: (B, C, H, W) floating point, sides of at least 2.
        scale: 2 or more.

    Returns:
        (B, C, H * scale, W * scale).
    """
    phases = [columns for rows in _phases(image, scale, dim=2) for columns in _phases(rows, scale, dim=3)]
    return to_pixels(torch.cat(phases, dim=1), scale, channels_last=True)


def _phases(image: Tensor, scale: int, *, dim: int) -> list[Tensor]:
    """Output pixels along one axis, by their position inside an input pixel: `scale` maps of the input's size."""
    # slices count from either end, so that no size is written into a graph
    mirrored = [_part(image, dim, 1, 2), _part(image, dim, 0, 1), image]
    mirrored += [_part(image, dim, -1, None), _part(image, dim, -2, -1)]
    padded = torch.cat(mirrored, dim=dim)
    shifted = [_part(padded, dim, first, first - 4 or None) for first in range(5)]
    weights = compute_phase_weights(scale).tolist()
    terms = [[x * weight for x, weight in zip(shifted, row, strict=True) if weight] for row in weights]
    return [sum(row[1:], start=row[0]) for row in terms]


def _part(x: Tensor, dim: int, first: int, end: int | None) -> Tensor:
    return x[:, :, first:end] if dim == 2 else x[:, :, :, first:end]


def start_near_bicubic(network: nn.Module) -> None:
    """Makes residual branches small and the output zero, so that training starts from bicubic enlargement."""
    with torch.no_grad():
        for module in network.modules():
            match module:
                case PlainResidual():
                    module.conv2.conv.weight.mul_(0.3)
                case MBConv():
                    module.point_conv.conv.weight.mul_(0.3)
                case MultiScaleAttention():
                    module.proj.conv.weight.mul_(0.3)
                case SuperResolutionHead():
                    module.output.conv.weight.zero_()
                    assert module.output.conv.bias is not None
                    module.output.conv.bias.zero_()
