"""The one layer that everything is made of: convolution, norm, activation."""

from __future__ import annotations

from torch import Tensor, nn

from densevit.variants import Activation


def activation_layer(name: Activation | None) -> nn.Module:
    """The activation of a family; the L family's GELU is the tanh approximation, which is another function."""
    match name:
        case None:
            return nn.Identity()
        case "hswish":
            return nn.Hardswish(inplace=True)
        case "relu":
            return nn.ReLU(inplace=True)
        case "gelu":
            return nn.GELU(approximate="tanh")
        case _:
            raise ValueError(f"activation must be hswish, gelu, relu or None, got {name!r}")


class ConvNorm(nn.Module):
    """Convolution with 'same' padding, BatchNorm, activation.

    Args:
        channels_in: C of the input.
        channels_out: C of the output.
        kernel: size of the square kernel, odd.
        stride: 1 or 2.
        groups: as in `torch.nn.Conv2d`.
        norm: a BatchNorm follows.
        bias: the convolution has a bias.
        activation: None for a linear layer.
        norm_eps: epsilon of the BatchNorm.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        bias: bool = False,
        activation: Activation | None = None,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=bias
        )
        self.norm = nn.BatchNorm2d(channels_out, eps=norm_eps) if norm else nn.Identity()
        self.activation = activation_layer(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        out: Tensor = self.activation(self.norm(self.conv(x)))
        return out
