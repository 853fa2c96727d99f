"""The cost of a model, counted from its table: multiply-accumulates of convolutions, linear layers, 2 N d (d + 1)
per linear and 2 N^2 d per softmax attention head, and learnable parameters (without BatchNorm statistics)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from densevit.variants.counter import Counter
from densevit.variants.tables import (
    BackboneTable,
    ClassificationTable,
    PromptableTable,
    SegmentationTable,
    SuperResolutionTable,
)

Size = tuple[int, int]


@dataclass(frozen=True)
class Cost:
    """The cost of one model at one image size.

    Attributes:
        params: learnable parameters.
        macs: multiply-accumulates; of a promptable model its image encoder's alone, as published.
        encoder_params: a promptable model's parameters without prompt encoder and mask decoder.
    """

    params: int
    macs: int
    encoder_params: int | None = None


def _prompt_encoder_params(width: int) -> int:
    """Four kinds of point, "no point", "no mask", and three convolutions that shrink a mask prompt."""
    mask = _linear(4, 4) + 2 * 4 + _linear(4 * 4, 16) + 2 * 16 + _linear(16, width)
    return 6 * width + mask


def _mask_decoder_params(width: int) -> int:
    """Segment Anything's decoder (arXiv 2304.02643, appendix A): two two-way layers, 4 masks, 4 scores."""

    def attention(inner: int) -> int:
        return 3 * _linear(width, inner) + _linear(inner, width)

    norm = 2 * width
    feed_forward = _linear(width, 8 * width) + _linear(8 * width, width)
    layer = attention(width) + 2 * attention(width // 2) + feed_forward + 4 * norm
    transformer = 2 * layer + attention(width // 2) + norm
    tokens = (1 + 4) * width
    # two transposed 2x2 convolutions, a LayerNorm between them
    upscaling = _linear(4 * width, width // 4) + 2 * (width // 4) + _linear(4 * (width // 4), width // 8)
    masks = 4 * (2 * _linear(width, width) + _linear(width, width // 8))
    scores = 2 * _linear(width, width) + _linear(width, 4)
    return transformer + tokens + upscaling + masks + scores


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def count_backbone(table: BackboneTable, size: Size, in_channels: int, classes: int | None) -> Cost:
    """A backbone without anything that reads its maps."""
    counter = Counter(*size, norm=table.norm)
    counter.backbone(table, in_channels)
    return Cost(counter.params, counter.macs)


def count_segmentation(table: SegmentationTable, size: Size, in_channels: int, classes: int | None) -> Cost:
    """A segmentation model."""
    counter = Counter(*size, norm=table.backbone.norm)
    features = counter.backbone(table.backbone, in_channels)
    counter.segmentation_head(table.head, features, table.classes if classes is None else classes)
    return Cost(counter.params, counter.macs)


def count_classification(table: ClassificationTable, size: Size, in_channels: int, classes: int | None) -> Cost:
    """A classifier."""
    counter = Counter(*size, norm=table.backbone.norm)
    features = counter.backbone(table.backbone, in_channels)
    counter.classification_head(table.head, features, table.classes if classes is None else classes)
    return Cost(counter.params, counter.macs)


def count_super_resolution(table: SuperResolutionTable, size: Size, in_channels: int, classes: int | None) -> Cost:
    """A super-resolution model."""
    counter = Counter(*size, norm=table.backbone.norm)
    features = counter.backbone(table.backbone, in_channels)
    counter.super_resolution_head(table.head, features, in_channels * table.scale**2)
    return Cost(counter.params, counter.macs)


def count_efficientvit_sam(table: PromptableTable, size: Size, in_channels: int, classes: int | None) -> Cost:
    """A promptable model whose image encoder is an EfficientViT with a neck."""
    counter = Counter(*size)
    encoder: Any = table.encoder
    counter.neck(encoder.neck, counter.backbone(encoder.backbone, in_channels))
    return _add_prompts(counter, encoder.neck.embedding)


def count_tiny_vit_sam(table: PromptableTable, size: Size, in_channels: int, classes: int | None) -> Cost:
    """A promptable model whose image encoder is a TinyViT."""
    counter = Counter(*size)
    encoder: Any = table.encoder
    counter.tiny_vit(encoder, in_channels)
    return _add_prompts(counter, encoder.embedding)


def _add_prompts(counter: Counter, width: int) -> Cost:
    params = counter.params + _prompt_encoder_params(width) + _mask_decoder_params(width)
    return Cost(params, counter.macs, counter.params)
