"""The cost of a model, counted from its table: multiply-accumulates of convolutions, linear layers, 2 N d (d + 1)
per linear and 2 N^2 d per softmax attention head, and learnable parameters (without BatchNorm statistics)."""

from __future__ import annotations

from dataclasses import dataclass

from densevit.variants.counter import Counter
from densevit.variants.tables import (
    Architecture,
    BackboneTable,
    ClassificationTable,
    EfficientViTEncoderTable,
    PromptableTable,
    SegmentationTable,
)


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


def count(
    table: Architecture | BackboneTable,
    size: tuple[int, int],
    *,
    in_channels: int = 3,
    classes: int | None = None,
) -> Cost:
    """The cost of a model.

    Args:
        table: a row of `ARCHITECTURES` or `BACKBONES`.
        size: (height, width) of the input in pixels.
        in_channels: channels of the input.
        classes: number of classes, the table's own when None; ignored for models without a classifier.

    Returns:
        Learnable parameters (without BatchNorm statistics) and multiply-accumulates.

    Raises:
        ValueError: a size below one pixel.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least (1, 1), got {size}")
    if isinstance(table, PromptableTable):
        return _promptable(table, size, in_channels)
    backbone = table if isinstance(table, BackboneTable) else table.backbone
    counter = Counter(height, width, norm=backbone.norm)
    features = counter.backbone(backbone, in_channels)
    if isinstance(table, SegmentationTable):
        counter.segmentation_head(table.head, features, table.classes if classes is None else classes)
    elif isinstance(table, ClassificationTable):
        counter.classification_head(table.head, features, table.classes if classes is None else classes)
    elif not isinstance(table, BackboneTable):
        counter.super_resolution_head(table.head, features, in_channels * table.scale**2)
    return Cost(counter.params, counter.macs)


def _promptable(table: PromptableTable, size: tuple[int, int], in_channels: int) -> Cost:
    counter = Counter(*size)
    if isinstance(table.encoder, EfficientViTEncoderTable):
        counter.neck(table.encoder.neck, counter.backbone(table.encoder.backbone, in_channels))
        width = table.encoder.neck.embedding
    else:
        counter.tiny_vit(table.encoder, in_channels)
        width = table.encoder.embedding
    params = counter.params + _prompt_encoder_params(width) + _mask_decoder_params(width)
    return Cost(params, counter.macs, counter.params)
