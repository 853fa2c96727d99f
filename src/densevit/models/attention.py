"""Multi-scale ReLU linear attention: the kernels, the table that chooses between them, the module.

With q' = ReLU(q), k' = ReLU(k) and N tokens per head (paper, equations 2 and 3),

    out_n = (V K'^T) q'_n / (1^T K'^T q'_n)

costs 2 N d (d + 1) multiply-accumulates; the same sum taken as (V (K'^T Q')) costs 2 N^2 d and is the
cheaper one for few tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from densevit.models.any_size import to_map, to_tokens
from densevit.models.layers import ConvNorm

EPSILON = 1e-15
"""Lower bound of the normalizer, that of the official weights; both kernels divide in fp32, where it exists."""

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
Implementation = Literal["auto", "linear", "quadratic"]


def linear_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """ReLU attention through the (d, d) state of each head.

    The normalizer is bounded from below instead of shifted: the two differ only where it is below 1e-7, and
    an exporter that drops the addition of 1e-15 as a no-op keeps the bound.

    Args:
        query: (B, heads, d, N), any floating type; ReLU is applied here.
        key: (B, heads, d, N).
        value: (B, heads, d, N).

    Returns:
        (B, heads, d, N) float32, or float64 for float64 inputs.
    """
    query, key, value = _full_precision(query, key, value)
    query, key = torch.relu(query), torch.relu(key)
    state = value @ key.transpose(-1, -2)
    key_sum = key.sum(dim=-1, keepdim=True).transpose(-1, -2)
    return (state @ query) / (key_sum @ query).clamp_min(EPSILON)


def quadratic_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same attention through the (N, N) similarities: shapes, types and result as `linear_attention`."""
    query, key, value = _full_precision(query, key, value)
    similarity = torch.relu(key).transpose(-1, -2) @ torch.relu(query)
    return value @ (similarity / similarity.sum(dim=-2, keepdim=True).clamp_min(EPSILON))


def automatic_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The cheaper of the two: quadratic where a head has at most as many tokens as dimensions."""
    tokens, dimensions = query.shape[-1], query.shape[-2]
    return (quadratic_attention if tokens <= dimensions else linear_attention)(query, key, value)


IMPLEMENTATIONS: dict[Implementation, Kernel] = {
    "auto": automatic_attention,
    "linear": linear_attention,
    "quadratic": quadratic_attention,
}
"""Every kernel, by name; each is tested against a float64 reference."""


def _full_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor if tensor.dtype == torch.float64 else tensor.float() for tensor in tensors)


class MultiScaleAttention(nn.Module):
    """Linear attention over the tokens and over their local aggregates (paper, section 2.1 and figure 2).

    Args:
        channels: channels in and out.
        head_dim: dimensions of a head; `channels` is a multiple of it.
        scales: kernel sizes of the aggregated branches; () for a single scale.
        norm_eps: epsilon of the BatchNorm behind the projection.
        norm: False gives the projection a bias instead.
        global_attention: False passes each token's value through unmixed (the paper's ablation).
        implementation: a key of `IMPLEMENTATIONS`.
    """

    def __init__(
        self,
        channels: int,
        *,
        head_dim: int,
        scales: tuple[int, ...] = (5,),
        norm_eps: float = 1e-5,
        norm: bool = True,
        global_attention: bool = True,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        if channels % head_dim:
            raise ValueError(f"channels must be a multiple of head_dim {head_dim}, got {channels}")
        self.head_dim = head_dim
        self.global_attention = global_attention
        self.implementation: Implementation = implementation
        inner = channels * (3 if global_attention else 1)
        groups = inner // head_dim
        self.qkv = ConvNorm(channels, inner, 1, norm=False)
        self.aggregation = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inner, inner, kernel, padding=kernel // 2, groups=inner, bias=False),
                nn.Conv2d(inner, inner, 1, groups=groups, bias=False),
            )
            for kernel in scales
        )
        branches = 1 + len(scales)
        self.proj = ConvNorm(channels * branches, channels, 1, norm=norm, bias=not norm, norm_eps=norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w), in the type of `x`."""
        qkv = self.qkv(x)
        branches = torch.cat([qkv, *(aggregate(qkv) for aggregate in self.aggregation)], dim=1)
        if self.global_attention:
            branches = self._attend(branches).to(x.dtype)
        out: Tensor = self.proj(branches)
        return out

    def _attend(self, branches: Tensor) -> Tensor:
        # autocast would run the products in half precision, where the sum of the keys overflows
        with torch.autocast(branches.device.type, enabled=False):
            heads = to_tokens(branches, branches.shape[1] // (3 * self.head_dim))
            query, key, value = torch.split(heads, self.head_dim, dim=2)
            out = IMPLEMENTATIONS[self.implementation](query, key, value)
            return to_map(out, branches)
