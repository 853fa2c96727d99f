"""The neck fuses maps of several strides into one by addition (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from densevit.models.any_size import resize_bicubic, resize_bilinear
from densevit.models.backbone import Feature
from densevit.models.layers import ConvNorm


class Fusion(nn.Module):
    """1x1 convolution of each map, upsampling to the finest, sum.

    Args:
        features: of the input maps, coarsest first.
        width: channels of the sum.
        norm_eps: epsilon of the BatchNorms.
        norm: False gives the convolutions biases instead.
        upsampling: bicubic as in the official code, or bilinear, a quarter of the work.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        width: int,
        *,
        norm_eps: float,
        norm: bool = True,
        upsampling: Literal["bicubic", "bilinear"] = "bicubic",
    ) -> None:
        super().__init__()
        self.upsampling: Literal["bicubic", "bilinear"] = upsampling
        self.laterals = nn.ModuleList(
            ConvNorm(f.channels, width, 1, norm=norm, bias=not norm, norm_eps=norm_eps) for f in features
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, h_i, w_i), coarsest first -> (B, width, h, w) at the size of the last."""
        if len(maps) != len(self.laterals):
            raise ValueError(f"expected {len(self.laterals)} maps, got {len(maps)}")
        *coarse, finest = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        out: Tensor = finest
        for x in reversed(coarse):
            wide = _bicubic(x, finest) if self.upsampling == "bicubic" else resize_bilinear(x, finest)
            out = out + wide.to(out.dtype)
        return out


def _bicubic(x: Tensor, like: Tensor) -> Tensor:
    """In fp32 as in the official code: half precision would shift the maps visibly."""
    with torch.autocast(x.device.type, enabled=False):
        return resize_bicubic(x if x.dtype == torch.float64 else x.float(), like)
