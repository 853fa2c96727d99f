"""The two-way transformer: prompt tokens and image tokens attend to each other.

Segment Anything, arXiv 2304.02643, appendix A ("Lightweight mask decoder"). Parameters are named as in the
official checkpoints, so that they load without a name map.

Every function takes prompt tokens of N prompts beside image tokens of either one image (first dimension 1) or
N images. One image is never repeated: what depends on it alone is computed once, up to the first update of
the image tokens by the prompts, from where on each prompt has image tokens of its own.
"""

from __future__ import annotations

from torch import Tensor, nn

from densevit.models.token_attention import Attention, ImageToTokenAttention, TokenToImageAttention


class TokenMLP(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, C) -> (N, T, C)."""
        out: Tensor = self.lin2(self.activation(self.lin1(x)))
        return out


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves and to the image, pass an MLP, and the image attends to them.

    Each step adds to what it updates and normalizes after. Positions are added to queries and keys, never to
    values.

    Args:
        width: C of all tokens.
        hidden: width inside the MLP.
        heads: of every attention.
        norm_eps: epsilon of the LayerNorms.
        first: the first block's tokens are still their own positions, so its self-attention neither adds
            positions nor keeps its input.
    """

    def __init__(self, width: int, hidden: int, heads: int, *, norm_eps: float, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(width, width, heads)
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.cross_attn_token_to_image = TokenToImageAttention(width, width // 2, heads)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = TokenMLP(width, hidden)
        self.norm3 = nn.LayerNorm(width, eps=norm_eps)
        self.cross_attn_image_to_token = ImageToTokenAttention(width, width // 2, heads)
        self.norm4 = nn.LayerNorm(width, eps=norm_eps)

    def forward(
        self, tokens: Tensor, image: Tensor, *, token_positions: Tensor, image_positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One exchange.

        Args:
            tokens: (N, T, C).
            image: (N, h * w, C), or (1, h * w, C) for all prompts.
            token_positions: (N, T, C).
            image_positions: (1, h * w, C).

        Returns:
            The tokens (N, T, C) and the image (N, h * w, C), both updated.
        """
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_positions
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)

        tokens = tokens + self.cross_attn_token_to_image.attend(tokens + token_positions, image, image_positions)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))

        image = image + self.cross_attn_image_to_token.attend(
            image, image_positions, tokens + token_positions, tokens
        )
        return tokens, self.norm4(image)


class TwoWayTransformer(nn.Module):
    """Blocks of exchange, and a last attention of the tokens to the image.

    Args:
        width: C of all tokens.
        depth: number of blocks.
        hidden: width inside the MLPs.
        heads: of every attention.
        norm_eps: epsilon of the LayerNorms.
    """

    def __init__(self, width: int, *, depth: int, hidden: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(width, hidden, heads, norm_eps=norm_eps, first=index == 0) for index in range(depth)
        )
        self.final_attn_token_to_image = TokenToImageAttention(width, width // 2, heads)
        self.norm_final_attn = nn.LayerNorm(width, eps=norm_eps)

    def forward(self, tokens: Tensor, image: Tensor, image_positions: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts and image after they have attended to each other.

        Args:
            tokens: (N, T, C); they serve as their own positions.
            image: (N, h * w, C), or (1, h * w, C) for all prompts.
            image_positions: (1, h * w, C).

        Returns:
            Tokens (N, T, C) and image (N, h * w, C).
        """
        positions = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_positions=positions, image_positions=image_positions)
        update = self.final_attn_token_to_image.attend(tokens + positions, image, image_positions)
        return self.norm_final_attn(tokens + update), image
