"""Layer normalization over the channels of a map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelNorm(nn.Module):
    """Normalizes each pixel's channels to mean 0 and variance 1, then scales and shifts per channel.

    Segment Anything uses it behind the encoder's neck, in the mask prompt's convolutions and in the decoder's
    upscaling (arXiv 2304.02643, appendix A).

    Args:
        channels: C of the input.
        norm_eps: added to the variance; 1e-6 in all published weights.
    """

    def __init__(self, channels: int, *, norm_eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.norm_eps = norm_eps

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        # channels last, because an exporter recognizes this one operator, and not a mean, a square and a root
        return self.channels_last(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def channels_last(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.norm_eps)
