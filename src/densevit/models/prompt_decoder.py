"""Prompt encoder and mask decoder as the functions that a runtime runs, without branches inside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from densevit.models.mask_decoder import MaskDecoder
from densevit.models.prompts import PromptEncoder


class PromptDecoder(nn.Module):
    """Points and boxes on one embedded image become masks.

    Args:
        prompt_encoder: of the model.
        mask_decoder: of the model.
        positions: (1, C, h, w), `PromptEncoder.dense_positions`; the same for every image, and for every decoder
            that shares them.
    """

    positions: Tensor

    def __init__(self, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoder, positions: Tensor) -> None:
        super().__init__()
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, embedding: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding (1, C, h, w), points (N, P, 2) in the frame, labels (N, P) -> masks and scores.

        Returns:
            Logits (N, 4, 4 * h, 4 * w) and predicted quality (N, 4), see `MaskDecoder`.
        """
        return self._decode(embedding, points, labels, self.prompt_encoder.embed_no_mask())

    def _decode(self, embedding: Tensor, points: Tensor, labels: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        sparse = self.prompt_encoder.embed_points(points, labels)
        masks, scores = self.mask_decoder(embedding, self.positions, sparse, dense)
        return masks, scores


class MaskPromptDecoder(PromptDecoder):
    """The same with a mask prompt for each."""

    def forward(  # type: ignore[override]
        self, embedding: Tensor, points: Tensor, labels: Tensor, mask_prompts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `PromptDecoder.forward`, with mask logits (N, 1, 4 * h, 4 * w)."""
        return self._decode(embedding, points, labels, self.prompt_encoder.embed_masks(mask_prompts))


class ProposalDecoder(PromptDecoder):
    """Masks of only those prompts that have a good one; the others cost half of the work."""

    def forward(  # type: ignore[override]
        self, embedding: Tensor, points: Tensor, labels: Tensor, least_score: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `PromptDecoder.forward`, but masks only where one of the three for ambiguous prompts scores higher.

        Args:
            embedding: (1, C, h, w).
            points: (N, P, 2) in the frame.
            labels: (N, P).
            least_score: (1,); prompts whose best score is not above it get no masks. The first always gets
                them, so that runtimes never see empty tensors.

        Returns:
            Logits (K, 4, 4 * h, 4 * w) of the K prompts that have masks, and scores (N, 4) of all.
        """
        sparse = self.prompt_encoder.embed_points(points, labels)
        dense = self.prompt_encoder.embed_no_mask()
        tokens, pixels = self.mask_decoder.run_transformer(embedding, self.positions, sparse, dense)
        scores = self.mask_decoder.predict_scores(tokens)
        first = torch.arange(scores.shape[0], device=scores.device) == 0
        rows = torch.nonzero((scores[:, 1:].amax(dim=1) > least_score) | first)[:, 0]
        tokens, pixels = tokens.index_select(0, rows), pixels.index_select(0, rows)
        return self.mask_decoder.predict_masks(tokens, pixels, embedding.shape[-2:]), scores
