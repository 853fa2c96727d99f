"""Heads: they ask the backbone for channels and strides, and turn its maps into an answer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from densevit.models.backbone import Feature
from densevit.models.blocks import residual_block
from densevit.models.fusion import Fusion
from densevit.models.layers import ConvNorm
from densevit.variants import SegmentationHeadTable


class SegmentationHead(nn.Module):
    """Per-class logits at stride 8 (paper, section 2.2).

    Args:
        table: widths and depth.
        features: the backbone's features, finest first; those of stride 32, 16 and 8 are used.
        classes: how many classes.
        norm_eps: epsilon of the BatchNorms.

    Raises:
        ValueError: no class, or a backbone without those strides.
    """

    strides = (32, 16, 8)

    def __init__(
        self, table: SegmentationHeadTable, features: Sequence[Feature], *, classes: int, norm_eps: float
    ) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes must be at least 1, got {classes}")
        by_stride = {feature.stride: index for index, feature in enumerate(features)}
        if missing := set(self.strides) - by_stride.keys():
            raise ValueError(f"the backbone has no feature of stride {sorted(missing)}")
        self.inputs = tuple(by_stride[stride] for stride in self.strides)
        self.fusion = Fusion([features[i] for i in self.inputs], table.width, norm_eps=norm_eps)
        self.middle = nn.Sequential(
            *(
                residual_block(
                    table.block,
                    table.width,
                    table.width,
                    expand=table.expand,
                    activation=table.activation,
                    norm_eps=norm_eps,
                )
                for _ in range(table.depth)
            )
        )
        width = table.width
        output: list[ConvNorm] = []
        if table.final_expand is not None:
            width = round(table.width * table.final_expand)
            output.append(ConvNorm(table.width, width, 1, activation=table.activation, norm_eps=norm_eps))
        output.append(ConvNorm(width, classes, 1, norm=False, bias=True))
        self.output = nn.Sequential(*output)
        self.embedding_channels = width

    def embed(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps of the backbone, finest first -> (B, C, H / 8, W / 8), what the classifier reads."""
        out: Tensor = self.output[:-1](self.middle(self.fusion([maps[i] for i in self.inputs])))
        return out

    def classify(self, embedding: Tensor) -> Tensor:
        """(B, C, h, w) of `embed` -> (B, classes, h, w) logits."""
        logits: Tensor = self.output[-1](embedding)
        return logits

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps of the backbone, finest first -> (B, classes, H / 8, W / 8) logits."""
        return self.classify(self.embed(maps))
