"""The prompt encoder: points, boxes and masks become embeddings that the mask decoder reads.

Segment Anything, arXiv 2304.02643, appendix A ("Prompt encoder"); unchanged in EfficientViT-SAM, arXiv
2402.05008. Parameters are named as in the official checkpoints below `prompt_encoder.`.

Coordinates are (x, y) in pixels of the frame: the square of 1024 whose upper left the image fills after
resizing its long side to 1024, also for encoders that see 512 pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from densevit.models.channel_norm import ChannelNorm
from densevit.variants.segment_anything import BOTTOM_RIGHT, FRAME_PX, NOT_A_POINT, TOP_LEFT


class FourierPositions(nn.Module):
    """Positions as sines and cosines at random frequencies (arXiv 2006.10739), drawn once per model.

    Args:
        width: C of an encoded position; even.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))

    def forward(self, points: Tensor) -> Tensor:
        """(..., 2), float (x, y) as fractions 0..1 of the frame -> (..., C), in the type of the frequencies."""
        stored = self.positional_encoding_gaussian_matrix
        # phases are several turns: half precision would lose the position in rounding
        wide = torch.float64 if stored.dtype == torch.float64 else torch.float32
        with torch.autocast(points.device.type, enabled=False):
            phases = 2 * math.pi * ((2 * points.to(wide) - 1) @ stored.to(wide))
            return torch.cat([phases.sin(), phases.cos()], dim=-1).to(stored.dtype)


class PromptEncoder(nn.Module):
    """Embeds prompts: points and boxes as tokens ("sparse"), masks as a map ("dense").

    Args:
        width: C of all embeddings.
        grid: height and width of the image embedding.
        frame: side of the square that coordinates refer to.
        mask_width: channels inside the convolutions of the mask.
    """

    def __init__(self, width: int = 256, *, grid: int = 64, frame: int = FRAME_PX, mask_width: int = 16) -> None:
        super().__init__()
        self.width, self.grid, self.frame = width, grid, frame
        self.pe_layer = FourierPositions(width)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_width // 4, 2, stride=2),
            ChannelNorm(mask_width // 4),
            nn.GELU(),
            nn.Conv2d(mask_width // 4, mask_width, 2, stride=2),
            ChannelNorm(mask_width),
            nn.GELU(),
            nn.Conv2d(mask_width, width, 1),
        )
        self.no_mask_embed = nn.Embedding(1, width)

    def dense_positions(self) -> Tensor:
        """The encoded centers of the image embedding's cells, (1, C, grid, grid); the same for every image."""
        device = self.no_mask_embed.weight.device
        centers = (torch.arange(self.grid, device=device, dtype=torch.float32) + 0.5) / self.grid
        rows, columns = torch.meshgrid(centers, centers, indexing="ij")
        encoded: Tensor = self.pe_layer(torch.stack([columns, rows], dim=-1))
        return encoded.permute(2, 0, 1).unsqueeze(0)

    def embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Labeled points, without adding a padding point and without checks, so that it can be exported.

        Args:
            points: (N, P, 2) float (x, y) in pixels of the frame.
            labels: (N, P) integers: -1 padding point (its place is ignored), 0 background, 1 foreground,
                2 upper left and 3 lower right corner of a box.

        Returns:
            (N, P, C).
        """
        # pixel (x, y) covers x..x+1, y..y+1: its center is half a pixel further
        positions = self.pe_layer((points + 0.5) / self.frame)
        kinds = torch.cat([self.not_a_point_embed.weight, *self.point_embeddings.parameters()])
        placed = (labels != NOT_A_POINT).unsqueeze(-1)
        return torch.where(placed, positions, 0) + kinds[labels.long() + 1]

    def embed_masks(self, masks: Tensor) -> Tensor:
        """Mask logits (N, 1, 4 * grid, 4 * grid), as an earlier decoding gave them -> (N, C, grid, grid)."""
        out: Tensor = self.mask_downscaling(masks)
        return out

    def embed_no_mask(self) -> Tensor:
        """The embedding for prompts without a mask, (1, C, grid, grid), without memory of that size."""
        return self.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(-1, -1, self.grid, self.grid)

    def forward(
        self,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embeds N prompts, each made of everything that is given.

        Fill prompts that have fewer points than others with padding points, label -1. The decoder still sees these
        as tokens, so results change slightly. Points without a box get one such token, as in training.

        Args:
            points: (N, P, 2) float (x, y) in pixels of the frame.
            labels: (N, P) integers -1..3, as in `embed_points`.
            boxes: (N, 4) float (left, top, right, bottom) in pixels of the frame.
            masks: (N, 1, 4 * grid, 4 * grid) logits.

        Returns:
            Sparse embeddings (N, tokens, C), tokens being P + 1 for points, 2 for a box, P + 2 for both, 0 for a
            mask alone; and dense ones (N, C, grid, grid), or (1, C, grid, grid) where no mask is given.

        Raises:
            ValueError: nothing given, points without labels or the reverse, a wrong shape or label, or
                different N.
        """
        prompts = self._check(points, labels, boxes, masks)
        places, kinds = [], []
        if points is not None and labels is not None:
            places.append(points)
            kinds.append(labels)
        if boxes is not None:
            places.append(boxes.reshape(prompts, 2, 2))
            kinds.append(torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=boxes.device).expand(prompts, 2))
        elif points is not None:
            places.append(points.new_zeros(prompts, 1, 2))
            kinds.append(torch.full((prompts, 1), NOT_A_POINT, device=points.device))
        if places:
            sparse = self.embed_points(torch.cat(places, dim=1), torch.cat(kinds, dim=1))
        else:
            sparse = self.no_mask_embed.weight.new_empty(prompts, 0, self.width)
        return sparse, self.embed_no_mask() if masks is None else self.embed_masks(masks)

    def _check(
        self, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None, masks: Tensor | None
    ) -> int:
        """The number of prompts; refuses arguments that do not belong together."""
        if (points is None) != (labels is None):
            raise ValueError("points and labels come together, got one without the other")
        named = {"points": points, "labels": labels, "boxes": boxes, "masks": masks}
        given = {name: tensor for name, tensor in named.items() if tensor is not None}
        if not given:
            raise ValueError("a prompt needs points, boxes or masks, got none of them")
        first = next(iter(given.values()))
        prompts = len(first) if first.ndim else 0
        count = labels.shape[-1] if labels is not None and labels.ndim else 0
        side = 4 * self.grid
        rests = {"points": (count, 2), "labels": (count,), "boxes": (4,), "masks": (1, side, side)}
        for name, tensor in given.items():
            expected = (prompts, *rests[name])
            if tuple(tensor.shape) != expected:
                raise ValueError(f"{name} must be of shape {expected}, got {tuple(tensor.shape)}")
        if labels is not None and not bool(((labels >= NOT_A_POINT) & (labels <= BOTTOM_RIGHT)).all()):
            raise ValueError("labels must be -1 (padding point), 0, 1 or 2, 3 (corners of a box)")
        return prompts
