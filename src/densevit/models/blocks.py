"""The residual blocks of the backbones and heads (paper, figure 4; official configurations)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from densevit.models.attention import MultiScaleAttention
from densevit.models.layers import ConvNorm
from densevit.variants import (
    Activation,
    BackboneTable,
    Block,
    NeckTable,
    SegmentationHeadTable,
    Stage,
    SuperResolutionHeadTable,
)


class _Residual(nn.Module):
    """Adds the input where the shape is kept; subclasses name their convolutions and list them in order."""

    def __init__(self, *, shortcut: bool) -> None:
        super().__init__()
        self.shortcut = shortcut

    def main(self, x: Tensor) -> Tensor:
        for child in self.children():
            x = child(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        out = self.main(x)
        return x + out if self.shortcut else out


class DepthwiseSeparable(_Residual):
    """Depthwise 3x3, then a linear 1x1."""

    def __init__(
        self, channels_in: int, channels_out: int, *, stride: int, activation: Activation, norm_eps: float
    ) -> None:
        super().__init__(shortcut=stride == 1 and channels_in == channels_out)
        layer = partial(ConvNorm, norm_eps=norm_eps)
        self.depth_conv = layer(
            channels_in, channels_in, 3, stride=stride, groups=channels_in, activation=activation
        )
        self.point_conv = layer(channels_in, channels_out, 1)


class MBConv(_Residual):
    """1x1 expansion, depthwise 3x3, linear 1x1. `fewer_norm`: biases instead of the first two norms."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        expand: float,
        stride: int,
        fewer_norm: bool,
        activation: Activation,
        norm_eps: float,
        norm: bool = True,
    ) -> None:
        super().__init__(shortcut=stride == 1 and channels_in == channels_out)
        middle = round(channels_in * expand)
        layer = partial(ConvNorm, norm_eps=norm_eps, norm=norm, bias=not norm)
        few = fewer_norm or not norm
        inner = partial(layer, norm=not few, bias=few, activation=activation)
        self.inverted_conv = inner(channels_in, middle, 1)
        self.depth_conv = inner(middle, middle, 3, stride=stride, groups=middle)
        self.point_conv = layer(middle, channels_out, 1)


class FusedMBConv(_Residual):
    """3x3 expansion, linear 1x1. `fewer_norm`: a bias instead of the first norm."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        expand: float,
        stride: int,
        fewer_norm: bool,
        activation: Activation,
        norm_eps: float,
        norm: bool = True,
    ) -> None:
        super().__init__(shortcut=stride == 1 and channels_in == channels_out)
        middle = round(channels_in * expand)
        layer = partial(ConvNorm, norm_eps=norm_eps, norm=norm, bias=not norm)
        few = fewer_norm or not norm
        inner = partial(layer, norm=not few, bias=few, activation=activation)
        self.spatial_conv = inner(channels_in, middle, 3, stride=stride)
        self.point_conv = layer(middle, channels_out, 1)


class PlainResidual(_Residual):
    """Two 3x3 convolutions, the second linear. `fewer_norm`: a bias instead of the first norm."""

    def __init__(
        self,
        channels: int,
        *,
        expand: float,
        fewer_norm: bool,
        activation: Activation,
        norm_eps: float,
        norm: bool = True,
    ) -> None:
        super().__init__(shortcut=True)
        middle = round(channels * expand)
        layer = partial(ConvNorm, norm_eps=norm_eps, norm=norm, bias=not norm)
        few = fewer_norm or not norm
        inner = partial(layer, norm=not few, bias=few, activation=activation)
        self.conv1 = inner(channels, middle, 3)
        self.conv2 = layer(middle, channels, 3)


class EfficientViTModule(nn.Module):
    """Multi-scale attention for the context, then an MBConv for what is local (paper, figure 2)."""

    def __init__(self, channels: int, stage: Stage, table: BackboneTable) -> None:
        super().__init__()
        self.context = MultiScaleAttention(
            channels,
            head_dim=table.head_dim,
            scales=stage.scales,
            norm_eps=table.norm_eps,
            norm=table.norm,
            global_attention=table.global_attention,
        )
        self.local = MBConv(
            channels,
            channels,
            expand=stage.expand,
            stride=1,
            fewer_norm=True,
            activation=table.activation,
            norm_eps=table.norm_eps,
            norm=table.norm,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        out: Tensor = self.local(x + self.context(x))
        return out


def residual_block(
    kind: Block,
    channels_in: int,
    channels_out: int,
    *,
    expand: float,
    activation: Activation,
    norm_eps: float,
    stride: int = 1,
    fewer_norm: bool = False,
    norm: bool = True,
) -> nn.Module:
    """The convolutional block that a table calls `kind`; without `norm` it has biases instead of all norms.

    Raises:
        ValueError: the kind is not a convolutional block, or "res" is asked to change the shape.
    """
    same = stride == 1 and channels_in == channels_out
    match kind:
        case "ds" if norm:
            return DepthwiseSeparable(
                channels_in, channels_out, stride=stride, activation=activation, norm_eps=norm_eps
            )
        case "mb" | "fmb":
            return (MBConv if kind == "mb" else FusedMBConv)(
                channels_in,
                channels_out,
                expand=expand,
                stride=stride,
                fewer_norm=fewer_norm,
                activation=activation,
                norm_eps=norm_eps,
                norm=norm,
            )
        case "res" if same:
            return PlainResidual(
                channels_in,
                expand=expand,
                fewer_norm=fewer_norm,
                activation=activation,
                norm_eps=norm_eps,
                norm=norm,
            )
        case _:
            raise ValueError(f"no block {kind!r} from {channels_in} to {channels_out} with stride {stride}")


def residual_stack(
    table: SegmentationHeadTable | NeckTable | SuperResolutionHeadTable, *, norm_eps: float, norm: bool = True
) -> nn.Sequential:
    """The blocks behind a fusion of maps, all of one width."""
    return nn.Sequential(
        *(
            residual_block(
                table.block,
                table.width,
                table.width,
                expand=table.expand,
                activation=table.activation,
                norm_eps=norm_eps,
                norm=norm,
            )
            for _ in range(table.depth)
        )
    )
