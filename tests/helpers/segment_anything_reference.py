"""Segment Anything as Meta wrote it, with random parameters, and prompts for it and for ours."""

from functools import cache

import pytest
import torch
from torch import nn

from helpers.torchvision_shim import make_torchvision_importable

CHECKPOINTS = ("sam/l0", "sam/l1", "sam/l2", "sam/xl0", "sam/xl1")
"""The published EfficientViT-SAM models, as named in `state_dict_shapes.json`."""

SMALL_GRID = 16
"""Side of the image embedding in most tests: a sixteenth of the work of the real 64."""


@cache
def segment_anything_modules(grid: int = 64) -> tuple[nn.Module, nn.Module]:
    """Prompt encoder and mask decoder out of the package index; skips where the package is not installed.

    The parameters do not depend on the grid, the side of the image embedding.
    """
    make_torchvision_importable()
    try:
        from segment_anything import modeling
    except ModuleNotFoundError as error:
        pytest.skip(f"parity needs the test extra (segment-anything-py, torchvision): no module {error.name}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = modeling.PromptEncoder(256, (grid, grid), (1024, 1024), 16)
        transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048)
        decoder = modeling.MaskDecoder(transformer_dim=256, transformer=transformer)
        # norms of 1 and 0 and small biases would hide a parameter in the wrong place
        for parameter in [*encoder.parameters(), *decoder.parameters()]:
            parameter.data.add_(0.05 * torch.randn_like(parameter))
    return encoder.eval().requires_grad_(False), decoder.eval().requires_grad_(False)


def set_norm_eps(module: nn.Module, eps: float) -> None:
    """As the official EfficientViT does after building: PyTorch's LayerNorms only, SAM's own keep theirs."""
    for child in module.modules():
        if isinstance(child, nn.LayerNorm):
            child.eps = eps


def points_of(prompts: int, count: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random points, some outside the frame, with labels -1, 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(prompts, count, 2, generator=generator) * 1100 - 40
    return points, torch.randint(-1, 2, (prompts, count), generator=generator)


def boxes_of(prompts: int) -> torch.Tensor:
    corners = torch.rand(prompts, 2, 2, generator=torch.Generator().manual_seed(1)) * 1024
    return corners.sort(dim=1).values.reshape(prompts, 4)


def masks_of(prompts: int) -> torch.Tensor:
    return 5 * torch.randn(prompts, 1, 4 * SMALL_GRID, 4 * SMALL_GRID, generator=torch.Generator().manual_seed(2))


PROMPTS = {
    "one point": (points_of(1, 1), None, None),
    "points": (points_of(3, 4), None, None),
    "boxes": (None, boxes_of(3), None),
    "points and boxes": (points_of(3, 2), boxes_of(3), None),
    "masks": (None, None, masks_of(2)),
    "points and masks": (points_of(2, 1), None, masks_of(2)),
    "everything": (points_of(2, 5), boxes_of(2), masks_of(2)),
}
"""(points and labels, boxes, masks) of one or more prompts."""
