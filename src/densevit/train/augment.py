"""Random crop, scale and flip, the same for an image and its label maps, and random color of the image.

All random numbers come from a CPU generator that the caller passes in, so that a resumed training repeats them on
any device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class View:
    """A window of an image, and whether it is mirrored."""

    top: float  # upper edge as a share of the image's height
    left: float
    height: float  # as a share of the image's height
    width: float
    flip: bool

    def make_grid(self, size: tuple[int, int], device: torch.device) -> Tensor:
        """(1, h, w, 2) sampling positions for `torch.nn.functional.grid_sample` (align_corners False)."""
        rows = (torch.arange(size[0], device=device) + 0.5) / size[0] * self.height + self.top
        columns = (torch.arange(size[1], device=device) + 0.5) / size[1]
        if self.flip:
            columns = 1 - columns
        columns = columns * self.width + self.left
        grid = torch.stack(torch.meshgrid(columns * 2 - 1, rows * 2 - 1, indexing="xy"), dim=-1)
        return grid.unsqueeze(0)


def draw_view(
    image: tuple[int, int],
    crop: tuple[int, int],
    *,
    scale: tuple[float, float],
    generator: torch.Generator,
) -> View:
    """Draws a crop from the image resized by a random factor, log-uniform in `scale`.

    If the resized image is smaller than the crop, the crop contains it and extends beyond its edges.

    Args:
        image: (height, width) of the image.
        crop: (height, width) of the crop.
        scale: smallest and largest factor.
        generator: generator on the CPU.
    """
    draw = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    low, high = math.log(scale[0]), math.log(scale[1])
    factor = math.exp(low + (high - low) * draw[0])
    height = crop[0] / (image[0] * factor)
    width = crop[1] / (image[1] * factor)
    return View((1 - height) * draw[1], (1 - width) * draw[2], height, width, draw[3] < 0.5)


def sample_maps(maps: Tensor, view: View, size: tuple[int, int]) -> Tensor:
    """(C, H, W) image or other maps -> (C, h, w) float32, bilinear; beyond the image its edges are repeated."""
    grid = view.make_grid(size, maps.device)
    return F.grid_sample(maps[None].float(), grid, mode="bilinear", padding_mode="border", align_corners=False)[0]


def sample_labels(labels: Tensor, view: View, size: tuple[int, int], *, ignore: int) -> Tensor:
    """(H, W) uint8 -> (h, w) int64, nearest; `ignore` beyond the image."""
    grid = view.make_grid(size, labels.device)
    # grid_sample pads with zeros, so labels are shifted to make `ignore` zero
    shifted = (labels.long() - ignore)[None, None].float()
    sampled = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return sampled[0, 0].round().long() + ignore


def jitter_color(image: Tensor, *, strength: float, generator: torch.Generator) -> Tensor:
    """Random brightness, contrast, saturation and gamma.

    Args:
        image: (3, H, W) float32 in 0..255.
        strength: largest relative change of each; 0 changes nothing.
        generator: generator on the CPU.

    Returns:
        (3, H, W) float32 in 0..255.
    """
    brightness, contrast, saturation, gamma = (
        1 + strength * (2 * value - 1)
        for value in torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    )
    image = image * brightness
    gray = (image * _luma_weights(image)).sum(0, keepdim=True)
    image = gray + (image - gray) * saturation
    image = gray.mean() + (image - gray.mean()) * contrast
    return 255 * (image.clamp(0, 255) / 255).pow(gamma)


def _luma_weights(image: Tensor) -> Tensor:
    """ITU-R BT.601 weights, (3, 1, 1)."""
    return torch.tensor([0.299, 0.587, 0.114], device=image.device).view(3, 1, 1)
