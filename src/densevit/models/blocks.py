"""The residual blocks of the backbones and heads (paper, figure 4; official configurations)."""

from __future__ import annotations

from torch import Tensor, nn

from densevit.models.attention import MultiScaleAttention
from densevit.models.layers import ConvNorm
from densevit.variants import Activation, BackboneTable, Block, Stage


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
        self.depth_conv = ConvNorm(
            channels_in,
            channels_in,
            3,
            stride=stride,
            groups=channels_in,
            activation=activation,
            norm_eps=norm_eps,
        )
        self.point_conv = ConvNorm(channels_in, channels_out, 1, norm_eps=norm_eps)


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
    ) -> None:
        super().__init__(shortcut=stride == 1 and channels_in == channels_out)
        middle = round(channels_in * expand)
        self.inverted_conv = ConvNorm(
            channels_in,
            middle,
            1,
            norm=not fewer_norm,
            bias=fewer_norm,
            activation=activation,
            norm_eps=norm_eps,
        )
        self.depth_conv = ConvNorm(
            middle,
            middle,
            3,
            stride=stride,
            groups=middle,
            norm=not fewer_norm,
            bias=fewer_norm,
            activation=activation,
            norm_eps=norm_eps,
        )
        self.point_conv = ConvNorm(middle, channels_out, 1, norm_eps=norm_eps)


class FusedMBConv(_Residual):
    """3x3 expansion, linear 1x1."""

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
    ) -> None:
        super().__init__(shortcut=stride == 1 and channels_in == channels_out)
        middle = round(channels_in * expand)
        self.spatial_conv = ConvNorm(
            channels_in,
            middle,
            3,
            stride=stride,
            norm=not fewer_norm,
            bias=fewer_norm,
            activation=activation,
            norm_eps=norm_eps,
        )
        self.point_conv = ConvNorm(middle, channels_out, 1, norm_eps=norm_eps)


class PlainResidual(_Residual):
    """Two 3x3 convolutions, the second linear."""

    def __init__(
        self, channels: int, *, expand: float, fewer_norm: bool, activation: Activation, norm_eps: float
    ) -> None:
        super().__init__(shortcut=True)
        middle = round(channels * expand)
        self.conv1 = ConvNorm(
            channels,
            middle,
            3,
            norm=not fewer_norm,
            bias=fewer_norm,
            activation=activation,
            norm_eps=norm_eps,
        )
        self.conv2 = ConvNorm(middle, channels, 3, norm_eps=norm_eps)


class EfficientViTModule(nn.Module):
    """Multi-scale attention for the context, then an MBConv for what is local (paper, figure 2)."""

    def __init__(self, channels: int, stage: Stage, table: BackboneTable) -> None:
        super().__init__()
        self.context = MultiScaleAttention(
            channels,
            head_dim=table.head_dim,
            scales=stage.scales,
            norm_eps=table.norm_eps,
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
) -> nn.Module:
    """The convolutional block that a table calls `kind`.

    Raises:
        ValueError: the kind is not a convolutional block, or "res" is asked to change the shape.
    """
    match kind:
        case "ds":
            return DepthwiseSeparable(
                channels_in, channels_out, stride=stride, activation=activation, norm_eps=norm_eps
            )
        case "mb" | "fmb":
            block = MBConv if kind == "mb" else FusedMBConv
            return block(
                channels_in,
                channels_out,
                expand=expand,
                stride=stride,
                fewer_norm=fewer_norm,
                activation=activation,
                norm_eps=norm_eps,
            )
        case "res" if stride == 1 and channels_in == channels_out:
            return PlainResidual(
                channels_in, expand=expand, fewer_norm=fewer_norm, activation=activation, norm_eps=norm_eps
            )
        case _:
            raise ValueError(f"no block {kind!r} from {channels_in} to {channels_out} with stride {stride}")
