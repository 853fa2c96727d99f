"""The mask decoder: an image embedding and embedded prompts become masks and predictions of their quality.

Segment Anything, arXiv 2304.02643, appendix A; unchanged in EfficientViT-SAM, arXiv 2402.05008. Parameters are
named as in the official checkpoints below `mask_decoder.`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densevit.models.channel_norm import ChannelNorm
from densevit.models.two_way import TwoWayTransformer
from densevit.variants.segment_anything import MASKS_PER_PROMPT


class MLP(nn.Module):
    """Linear layers with ReLUs between them."""

    def __init__(self, channels_in: int, hidden: int, channels_out: int, *, depth: int) -> None:
        super().__init__()
        widths = [channels_in, *[hidden] * (depth - 1), channels_out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C')."""
        for index, layer in enumerate(self.layers):
            x = layer(x if index == 0 else x.relu())
        return x


class MaskDecoder(nn.Module):
    """All four masks of each prompt; the caller chooses.

    Args:
        width: C of the embeddings.
        depth: blocks of the transformer.
        hidden: width inside the transformer's MLPs.
        heads: of every attention.
        norm_eps: epsilon of the transformer's LayerNorms: 1e-6 for EfficientViT-SAM, 1e-5 for the original
            Segment Anything and MobileSAM. The normalization over channels has 1e-6 in all of them.
    """

    def __init__(
        self, width: int = 256, *, depth: int = 2, hidden: int = 2048, heads: int = 8, norm_eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(width, depth=depth, hidden=hidden, heads=heads, norm_eps=norm_eps)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(MASKS_PER_PROMPT, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, stride=2),
            ChannelNorm(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(width, width, width // 8, depth=3) for _ in range(MASKS_PER_PROMPT)
        )
        self.iou_prediction_head = MLP(width, width, MASKS_PER_PROMPT, depth=3)

    def forward(self, image: Tensor, positions: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of N prompts on one image, or on N images, one prompt each.

        Args:
            image: (1, C, h, w) or (N, C, h, w), output of the image encoder.
            positions: (1, C, h, w), `PromptEncoder.dense_positions`.
            sparse: (N, P, C), embedded points and boxes; P may be 0.
            dense: (1, C, h, w) or (N, C, h, w), embedded masks. Where both `image` and this have one row,
                N prompts share it through the first attention.

        Returns:
            Logits (N, 4, 4 * h, 4 * w), above 0 where the mask is, and the predicted intersection over union
            with the true mask, (N, 4), about 0..1.

        Raises:
            ValueError: first dimensions that are neither 1 nor N.
        """
        tokens, pixels = self.run_transformer(image, positions, sparse, dense)
        return self.predict_masks(tokens, pixels, image.shape[-2:]), self.predict_scores(tokens)

    def run_transformer(
        self, image: Tensor, positions: Tensor, sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens and image after they have attended to each other; arguments as for `forward`.

        Returns:
            Tokens (N, 1 + 4 + P, C): one for the scores, one per mask, the prompts'; image (N, h * w, C).
        """
        prompts = sparse.shape[0]
        for name, rows in (("image", image.shape[0]), ("dense", dense.shape[0])):
            if rows not in (1, prompts):
                raise ValueError(f"{name} must have 1 row or one per prompt ({prompts}), got {rows}")
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output_tokens.expand(prompts, -1, -1), sparse], dim=1)
        # rows first, sum after: OpenVINO 2026.4 fuses "convolution of masks + one image" into a sum in place and
        # gives wrong or empty results where the number of prompts is dynamic
        pixels = _rows(image) + _rows(dense)
        updated: tuple[Tensor, Tensor] = self.transformer(tokens, pixels, _rows(positions))
        return updated

    def predict_scores(self, tokens: Tensor) -> Tensor:
        """(N, T, C) of `run_transformer` -> (N, 4) predicted intersections over union; needs no masks."""
        scores: Tensor = self.iou_prediction_head(tokens[:, 0])
        return scores

    def predict_masks(self, tokens: Tensor, pixels: Tensor, grid: torch.Size) -> Tensor:
        """Output of `run_transformer` on a grid of (h, w) -> logits (N, 4, 4 * h, 4 * w)."""
        kernels = torch.stack(
            [mlp(tokens[:, 1 + index]) for index, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        return _arrange_maps(self._upscale(pixels) @ kernels.transpose(1, 2), grid)

    def _upscale(self, pixels: Tensor) -> Tensor:
        """(N, P, C) -> (N, P * 16, C / 8): each cell becomes 2x2, and each of these 2x2 again, one after another.

        A transposed convolution whose stride is its kernel is a product with a matrix; without the map's layout
        in between nothing has to be moved.
        """
        first, norm, _, second, _ = self.output_upscaling
        assert isinstance(first, nn.ConvTranspose2d)
        assert isinstance(norm, ChannelNorm)
        assert isinstance(second, nn.ConvTranspose2d)
        pixels = F.gelu(norm.channels_last(_enlarge(pixels, first)))
        return F.gelu(_enlarge(pixels, second))


def _enlarge(pixels: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """(N, P, C) -> (N, P * 4, C'), by a transposed convolution of kernel and stride 2."""
    assert layer.bias is not None
    rows, count, _ = pixels.shape
    # (C, C', 2, 2) -> (2 * 2 * C', C); product and bias in one step, before the 2x2 are told apart
    matrix = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return F.linear(pixels, matrix, layer.bias.repeat(4)).reshape(rows, 4 * count, layer.out_channels)


def _arrange_maps(values: Tensor, grid: torch.Size) -> Tensor:
    """Values in the order of `MaskDecoder._upscale`, (N, h * w * 16, K) -> maps (N, K, 4 * h, 4 * w)."""
    height, width = grid
    nested = values.reshape(values.shape[0], height, width, 2, 2, 2, 2, values.shape[2])
    # cell, half of the cell, quarter of the half: rows together, columns together
    nested = nested.permute(0, 7, 1, 3, 5, 2, 4, 6)
    return nested.flatten(5).flatten(2, 4)


def _rows(maps: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h * w, C)."""
    return maps.flatten(2).transpose(1, 2)
