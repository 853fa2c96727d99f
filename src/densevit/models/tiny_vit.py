"""TinyViT, MobileSAM's image encoder.

Sources: TinyViT (arXiv 2207.10666), section 3.3; MobileSAM (arXiv 2306.14289). Modules are named as in MobileSAM's
weights, except inside `ConvNorm` (see `densevit.checkpoints.names`).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densevit.core.errors import UsageError
from densevit.models.any_size import reshape_dynamic
from densevit.models.channel_norm import ChannelNorm
from densevit.models.layers import ConvNorm
from densevit.variants import TinyViTStage, TinyViTTable


class _ThreeConvolutions(nn.Module):
    """1x1, depthwise 3x3, 1x1; GELUs between them."""

    def __init__(
        self, channels_in: int, middle: int, channels_out: int, *, stride: int = 1, norm_eps: float
    ) -> None:
        super().__init__()
        layer = partial(ConvNorm, norm_eps=norm_eps)
        self.conv1 = layer(channels_in, middle, 1)
        self.conv2 = layer(middle, middle, 3, stride=stride, groups=middle)
        self.conv3 = layer(middle, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        out: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return out


class _MBConv(_ThreeConvolutions):
    """With a shortcut, and a GELU behind the sum."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return F.gelu(x + super().forward(x))


class WindowAttention(nn.Module):
    """Softmax attention inside windows, with a learnt bias for every distance (TinyViT, section 3.3).

    Args:
        channels: C of the input.
        heads: of the attention; they share the channels.
        window: side of the square windows.
        norm_eps: epsilon of the LayerNorm in front.
    """

    bias_index: Tensor

    def __init__(self, channels: int, *, heads: int, window: int, norm_eps: float) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(channels, eps=norm_eps)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        self.register_buffer("bias_index", _distances(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C).

        Zeros fill the last windows before the norm, and take part like any other position.
        """
        height, width, channels = x.shape[1:]
        side = self.window
        rows, columns = -(-height // side), -(-width // side)
        x = F.pad(x, (0, 0, 0, columns * side - width, 0, rows * side - height))
        windows = reshape_dynamic(x, (-1, rows, side, columns, side, channels)).transpose(2, 3)
        out = self.attend(reshape_dynamic(windows, (-1, side**2, channels)))
        windows = reshape_dynamic(out, (-1, rows, columns, side, side, channels)).transpose(2, 3)
        return reshape_dynamic(windows, (-1, rows * side, columns * side, channels))[:, :height, :width]

    def attend(self, tokens: Tensor) -> Tensor:
        """(windows, window * window, C) -> the same shape."""
        count, channels = tokens.shape[1:]
        head_dim = channels // self.heads
        # each head's query, key and value lie side by side
        qkv = reshape_dynamic(self.qkv(self.norm(tokens)), (-1, count, self.heads, 3 * head_dim)).transpose(1, 2)
        query, key, value = torch.split(qkv, head_dim, dim=-1)
        logits = (query * head_dim**-0.5) @ key.transpose(-1, -2)
        weights = (logits + self.attention_biases[:, self.bias_index]).softmax(dim=-1)
        out: Tensor = self.proj(
            reshape_dynamic((weights.to(value.dtype) @ value).transpose(1, 2), (-1, count, channels))
        )
        return out


def _distances(window: int) -> Tensor:
    """(N, N) for the N = window * window positions of a window: a number for each pair's (|dy|, |dx|)."""
    side = torch.arange(window)
    apart = (side[:, None] - side[None, :]).abs()
    # (y, x, y', x')
    return (apart[:, None, :, None] * window + apart[None, :, None, :]).reshape(window**2, window**2)


class MLP(nn.Module):
    """LayerNorm and two linear layers on every position."""

    def __init__(self, channels: int, hidden: int, *, norm_eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=norm_eps)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class TinyViTBlock(nn.Module):
    """Window attention with a shortcut, a depthwise convolution without one, an MLP with one."""

    def __init__(self, stage: TinyViTStage, table: TinyViTTable) -> None:
        super().__init__()
        width, eps = stage.width, table.norm_eps
        self.attn = WindowAttention(width, heads=stage.heads, window=stage.window, norm_eps=eps)
        self.local_conv = ConvNorm(width, width, 3, groups=width, norm_eps=eps)
        self.mlp = MLP(width, table.expand * width, norm_eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = x + self.attn(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.local_conv(x)
        out: Tensor = x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


class _Stage(nn.Module):
    def __init__(self, stage: TinyViTStage, width_after: int | None, table: TinyViTTable) -> None:
        super().__init__()
        width, eps = stage.width, table.norm_eps
        self.blocks = nn.Sequential(
            *(
                TinyViTBlock(stage, table)
                if stage.heads
                else _MBConv(width, table.expand * width, width, norm_eps=eps)
                for _ in range(stage.depth)
            )
        )
        self.downsample: nn.Module = nn.Identity()
        if width_after is not None:
            self.downsample = _ThreeConvolutions(
                width, width_after, width_after, stride=stage.down_stride, norm_eps=eps
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        out: Tensor = self.downsample(self.blocks(x))
        return out


class _PatchEmbedding(nn.Module):
    def __init__(self, channels_in: int, width: int, *, norm_eps: float) -> None:
        super().__init__()
        layer = partial(ConvNorm, kernel=3, stride=2, norm_eps=norm_eps)
        self.seq = nn.Sequential(layer(channels_in, width // 2), nn.GELU(), layer(width // 2, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, width, H / 4, W / 4)."""
        out: Tensor = self.seq(x)
        return out


class TinyViT(nn.Module):
    """Encodes an image as the embedding that the mask decoder reads.

    Args:
        table: such as `densevit.variants.TINY_VIT_5M`.
        in_channels: channels of the image.

    Raises:
        UsageError: fewer than one channel.
    """

    def __init__(self, table: TinyViTTable, *, in_channels: int = 3) -> None:
        super().__init__()
        if in_channels < 1:
            raise UsageError(f"in_channels must be at least 1, got {in_channels}")
        self.table = table
        self.patch_embed = _PatchEmbedding(in_channels, table.stages[0].width, norm_eps=table.norm_eps)
        widths_after = (*(stage.width for stage in table.stages[1:]), None)
        self.layers = nn.Sequential(
            *(_Stage(stage, after, table) for stage, after in zip(table.stages, widths_after, strict=True))
        )
        self.neck = nn.Sequential(
            nn.Conv2d(table.stages[-1].width, table.embedding, 1, bias=False),
            ChannelNorm(table.embedding),
            nn.Conv2d(table.embedding, table.embedding, 3, padding=1, bias=False),
            ChannelNorm(table.embedding),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) normalized image, zeros where it was padded -> (B, 256, S / 16, S / 16) embedding."""
        out: Tensor = self.neck(self.layers(self.patch_embed(x)))
        return out
