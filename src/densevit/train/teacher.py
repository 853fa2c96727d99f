"""A trained network's class probabilities as soft targets for another network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SegmentationTeacher:
    """Mean class probabilities over several resize factors, each with and without mirroring.

    Args:
        network: normalized images (B, 3, H, W) -> logits at stride 8.
        normalize: images in 0..255 -> normalized images.
        classes: number of classes.
        scales: resize factors to average over; the first determines the size of the result.
        dtype: dtype of the forward pass.
    """

    def __init__(
        self,
        network: nn.Module,
        normalize: nn.Module,
        *,
        classes: int,
        scales: Sequence[float],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.classes = classes
        self._network = network.eval().requires_grad_(False)
        self._normalize = normalize
        self._scales = tuple(scales)
        self._dtype = dtype

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, K, h, w) fp16 probabilities at stride 8 of the first resized image."""
        planes = self._normalize(image.permute(0, 3, 1, 2))
        size: torch.Size | None = None
        total: Tensor | None = None
        for scale in self._scales:
            enlarged = self._enlarge(planes, scale)
            for mirrored in (False, True):
                logits = self._logits(enlarged.flip(-1) if mirrored else enlarged)
                probabilities = logits.flip(-1) if mirrored else logits
                size = size or probabilities.shape[-2:]
                if probabilities.shape[-2:] != size:
                    probabilities = F.interpolate(probabilities, size=size, mode="bilinear")
                total = probabilities if total is None else total + probabilities
        assert total is not None
        return (total / (2 * len(self._scales))).half()

    def _enlarge(self, planes: Tensor, scale: float) -> Tensor:
        # sides become multiples of 32 by resizing, because padding would add cells beyond the image
        height, width = (max(32, round(side * scale / 32) * 32) for side in planes.shape[-2:])
        return F.interpolate(planes, size=(height, width), mode="bilinear", align_corners=False)

    def _logits(self, planes: Tensor) -> Tensor:
        with torch.autocast(planes.device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits: Tensor = self._network(planes.contiguous(memory_format=torch.channels_last))
        return logits.float().softmax(dim=1)
