"""Attention between few prompt tokens and many image tokens, with as little arithmetic as it takes.

Segment Anything's decoder (arXiv 2304.02643, appendix A) attends three ways. Where a handful of tokens meets the
4096 cells of an image, projecting every cell costs most of the work. The projections are linear, so they move to
the other side: a token's query through the transposed key projection meets the cells as they are, and what it
gathers from them is projected afterwards. The result is the same up to rounding.

Shapes: N prompts, T tokens each, P cells of the image, C channels, H heads of d channels. An image's first
dimension is N, or 1 where all prompts look at one image; one image is never repeated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Softmax attention with several heads, at a reduced width inside.

    Args:
        width: C of queries, keys and values, and of the result.
        inner: H * d, width of the projected queries, keys and values; a multiple of `heads`.
        heads: H.
    """

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        if inner % heads:
            raise ValueError(f"inner width must be a multiple of {heads} heads, got {inner}")
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries (N, Q, C), keys and values (N, K, C) -> (N, Q, C); 1 in place of an N stands for all."""
        q = self.split_heads(self.q_proj(query)) * self.scale
        k = self.split_heads(self.k_proj(key))
        v = self.split_heads(self.v_proj(value))
        mixed = (q @ k.transpose(-1, -2)).softmax(dim=-1) @ v
        return self.merge_heads(mixed)

    def split_heads(self, x: Tensor) -> Tensor:
        """(N, T, H * d) -> (N, H, T, d)."""
        rows, tokens, inner = x.shape
        return x.reshape(rows, tokens, self.heads, inner // self.heads).transpose(1, 2)

    def merge_heads(self, mixed: Tensor) -> Tensor:
        """(N, H, T, d) -> (N, T, C)."""
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def weight_per_head(self, projection: nn.Linear) -> Tensor:
        """The weight of a projection to H * d channels, (H, d, C)."""
        inner, width = projection.weight.shape
        return projection.weight.reshape(self.heads, inner // self.heads, width)


class TokenToImageAttention(Attention):
    """Prompt tokens look at the image."""

    def attend(self, tokens: Tensor, image: Tensor, positions: Tensor) -> Tensor:
        """As `forward(tokens, image + positions, image)`.

        Args:
            tokens: (N, T, C).
            image: (N, P, C) or (1, P, C).
            positions: (1, P, C).

        Returns:
            (N, T, C).
        """
        if image.shape[0] == 1:
            return self.forward(tokens, image + positions, image)
        q = self.split_heads(self.q_proj(tokens)) * self.scale
        # the key's bias adds the same to all of a query's logits, which the softmax does not see
        placed = self.split_heads(positions @ self.k_proj.weight.T)
        carried = q @ self.weight_per_head(self.k_proj)
        logits = _all_heads(carried, image) + q @ placed.transpose(-1, -2)
        gathered = (logits.softmax(dim=-1).flatten(1, 2) @ image).reshape(carried.shape)
        # weights that sum to 1 leave the value's bias as it is
        v = gathered @ self.weight_per_head(self.v_proj).transpose(-1, -2)
        out: Tensor = self.out_proj(v.transpose(1, 2).flatten(2) + self.v_proj.bias)
        return out


def _all_heads(carried: Tensor, image: Tensor) -> Tensor:
    """(N, H, T, C) and (N, P, C) -> their products (N, H, T, P)."""
    products = carried.flatten(1, 2) @ image.transpose(-1, -2)
    return products.reshape(*carried.shape[:3], image.shape[1])


class ImageToTokenAttention(Attention):
    """The image looks at the prompt tokens."""

    def attend(self, image: Tensor, positions: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """As `forward(image + positions, keys, values)`.

        Args:
            image: (N, P, C) or (1, P, C).
            positions: (1, P, C).
            keys: (N, T, C).
            values: (N, T, C).

        Returns:
            (N, P, C).
        """
        k = self.split_heads(self.k_proj(keys)) * self.scale
        if image.shape[0] == 1:
            logits = self.split_heads(self.q_proj(image + positions)) @ k.transpose(-1, -2)
        else:
            placed = self.split_heads(self.q_proj(positions))
            carried = k @ self.weight_per_head(self.q_proj)
            logits = placed @ k.transpose(-1, -2) + _all_heads(carried, image).transpose(-1, -2)
        # (N, H, P, T) -> (N, P, H * T): all heads' weights at once meet their values, already in C channels
        weights = logits.softmax(dim=-1).transpose(1, 2).flatten(2)
        v = self.split_heads(self.v_proj(values))
        projected = v @ self.out_proj.weight.T.reshape(self.heads, v.shape[-1], self.out_proj.out_features)
        return torch.baddbmm(self.out_proj.bias, weights, projected.flatten(1, 2))
