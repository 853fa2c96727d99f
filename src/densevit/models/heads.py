"""Heads read channels and strides from the backbone and turn its maps into an answer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from densevit.core.errors import UsageError
from densevit.models.backbone import Feature, of_strides
from densevit.models.blocks import residual_stack
from densevit.models.fusion import Fusion
from densevit.models.layers import ConvNorm, activation_layer
from densevit.variants import ClassificationHeadTable, SegmentationHeadTable


class SegmentationHead(nn.Module):
    """Per-class logits at stride 8 (paper, section 2.2).

    Args:
        table: widths and depth.
        features: the backbone's features, finest first; those of the table's strides are used.
        classes: number of classes.
        norm_eps: epsilon of the BatchNorms.

    Raises:
        UsageError: fewer than one class.
        ValueError: the backbone lacks one of those strides.
    """

    def __init__(
        self, table: SegmentationHeadTable, features: Sequence[Feature], *, classes: int, norm_eps: float
    ) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"classes must be at least 1, got {classes}")
        self.inputs = of_strides(features, table.strides)
        self.fusion = Fusion([features[i] for i in self.inputs], table.width, norm_eps=norm_eps)
        self.middle = residual_stack(table, norm_eps=norm_eps)
        width = table.width
        output: list[ConvNorm] = []
        if table.final_expand is not None:
            width = round(table.width * table.final_expand)
            output.append(ConvNorm(table.width, width, 1, activation=table.activation, norm_eps=norm_eps))
        output.append(ConvNorm(width, classes, 1, norm=False, bias=True))
        self.output = nn.Sequential(*output)
        self.embedding_channels = width

    def embed(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps of the backbone, finest first -> (B, C, H / 8, W / 8), the classifier's input."""
        out: Tensor = self.output[:-1](self.middle(self.fusion([maps[i] for i in self.inputs])))
        return out

    def classify(self, embedding: Tensor) -> Tensor:
        """(B, C, h, w) of `embed` -> (B, classes, h, w) logits."""
        logits: Tensor = self.output[-1](embedding)
        return logits

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps of the backbone, finest first -> (B, classes, H / 8, W / 8) logits."""
        return self.classify(self.embed(maps))


class ClassificationHead(nn.Module):
    """Logits of the whole image (official configurations; the paper has no name for this head).

    Args:
        table: widths.
        features: the backbone's features, finest first; the last is used.
        classes: number of classes.
        norm_eps: epsilon of BatchNorm and LayerNorm.

    Raises:
        UsageError: fewer than one class.
    """

    def __init__(
        self, table: ClassificationHeadTable, features: Sequence[Feature], *, classes: int, norm_eps: float
    ) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"classes must be at least 1, got {classes}")
        self.conv = ConvNorm(features[-1].channels, table.width, 1, activation=table.activation, norm_eps=norm_eps)
        self.hidden = nn.Linear(table.width, table.hidden, bias=False)
        self.norm = nn.LayerNorm(table.hidden, eps=norm_eps)
        self.activation = activation_layer(table.activation)
        self.classifier = nn.Linear(table.hidden, classes)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps of the backbone, finest first -> (B, classes) logits."""
        mean = self.conv(maps[-1]).mean(dim=(-2, -1))
        logits: Tensor = self.classifier(self.activation(self.norm(self.hidden(mean))))
        return logits
