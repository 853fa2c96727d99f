"""TinyViT, the image encoder of MobileSAM, as a table.

Sources: TinyViT (arXiv 2207.10666), section 3.3; MobileSAM (arXiv 2306.14289), section 3, whose weights set the
last stage's stride to 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class TinyViTStage:
    """One resolution: `depth` residual blocks, then the step to the next stage's width."""

    width: int
    depth: int
    # 0: MBConvs; otherwise attention inside windows of `window` x `window` positions, and an MLP
    heads: int
    window: int
    # of the step to the next stage, which the last one does not have
    down_stride: int


@dataclass(frozen=True)
class TinyViTTable:
    """A stem of two halving convolutions, stages, and Segment Anything's neck of two convolutions."""

    stages: tuple[TinyViTStage, ...]
    expand: int = 4  # of MBConvs and MLPs
    embedding: int = 256  # channels of the output
    norm_eps: float = 1e-5  # of BatchNorms and LayerNorms

    kind: ClassVar[str] = "tiny_vit_sam"  # of the promptable models with such an encoder


TINY_VIT_5M = TinyViTTable(
    (
        TinyViTStage(64, 2, heads=0, window=0, down_stride=2),
        TinyViTStage(128, 2, heads=4, window=7, down_stride=2),
        TinyViTStage(160, 6, heads=5, window=14, down_stride=1),
        TinyViTStage(320, 2, heads=10, window=7, down_stride=1),
    )
)
"""MobileSAM's encoder."""
