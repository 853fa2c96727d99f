"""The neck: maps of several strides become one (paper, section 2.2, the pyramid fused by addition)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densevit.models.any_size import bicubic_to
from densevit.models.backbone import Feature
from densevit.models.layers import ConvNorm


class Fusion(nn.Module):
    """1x1 convolution of each map, bicubic upsampling to the finest, sum.

    Args:
        features: what comes in, coarsest first.
        width: channels of the sum.
        norm_eps: epsilon of the BatchNorms.
    """

    def __init__(self, features: Sequence[Feature], width: int, *, norm_eps: float) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(ConvNorm(f.channels, width, 1, norm_eps=norm_eps) for f in features)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, h_i, w_i), coarsest first -> (B, width, h, w) at the size of the last."""
        if len(maps) != len(self.laterals):
            raise ValueError(f"expected {len(self.laterals)} maps, got {len(maps)}")
        *coarse, finest = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        out: Tensor = finest
        for x in reversed(coarse):
            out = out + _bicubic(x, finest).to(out.dtype)
        return out


def _bicubic(x: Tensor, like: Tensor) -> Tensor:
    """In fp32 as in the official code: half precision would shift the maps visibly."""
    with torch.autocast(x.device.type, enabled=False):
        return bicubic_to(x if x.dtype == torch.float64 else x.float(), like)
