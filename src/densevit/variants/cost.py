"""What a model costs, counted from its table: multiply-accumulates of convolutions, linear layers and
2 N d (d + 1) per attention head, and learnable parameters (BatchNorm statistics are none)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from densevit.variants.tables import (
    Architecture,
    BackboneTable,
    Block,
    ClassificationHeadTable,
    ClassificationTable,
    NeckTable,
    SegmentationHeadTable,
    SegmentationTable,
    SuperResolutionHeadTable,
    SuperResolutionTable,
)


@dataclass(frozen=True)
class Cost:
    """What one model costs at one picture size.

    Attributes:
        params: learnable parameters.
        macs: multiply-accumulates; of a promptable model its image encoder's alone, as published.
        encoder_params: a promptable model's parameters without prompt encoder and mask decoder.
    """

    params: int
    macs: int
    encoder_params: int | None = None


@dataclass(frozen=True)
class _Convolution:
    """A convolution with what surrounds it, as far as it costs parameters or arithmetic."""

    channels_in: int
    channels_out: int
    kernel: int
    stride: int = 1
    groups: int = 1
    norm: bool = True
    bias: bool = False

    @property
    def params(self) -> int:
        weights = self.kernel**2 * self.channels_in // self.groups * self.channels_out
        return weights + self.channels_out * (2 * self.norm + self.bias)

    def macs(self, positions: int) -> int:
        return positions * self.kernel**2 * self.channels_in // self.groups * self.channels_out


class _Counter:
    """Walks a model as the modules do, following the size of the maps."""

    def __init__(self, height: int, width: int, *, norm: bool = True) -> None:
        self.height, self.width = height, width
        self.norm = norm  # False: biases instead of BatchNorm
        self.params = 0
        self.macs = 0

    def convolution(self, convolution: _Convolution) -> None:
        if convolution.norm and not self.norm:
            convolution = replace(convolution, norm=False, bias=True)
        self.height = -(-self.height // convolution.stride)
        self.width = -(-self.width // convolution.stride)
        self.params += convolution.params
        self.macs += convolution.macs(self.height * self.width)

    def block(
        self, kind: Block, channels_in: int, channels_out: int, expand: float, stride: int, fewer_norm: bool
    ) -> None:
        middle = round(channels_in * expand)
        few = {"norm": not fewer_norm, "bias": fewer_norm}
        if kind == "ds":
            self.convolution(_Convolution(channels_in, channels_in, 3, stride, channels_in, **few))
            self.convolution(_Convolution(channels_in, channels_out, 1))
        elif kind == "mb":
            self.convolution(_Convolution(channels_in, middle, 1, **few))
            self.convolution(_Convolution(middle, middle, 3, stride, middle, **few))
            self.convolution(_Convolution(middle, channels_out, 1))
        elif kind == "fmb":
            self.convolution(_Convolution(channels_in, middle, 3, stride, **few))
            self.convolution(_Convolution(middle, channels_out, 1))
        elif kind == "res":
            self.convolution(_Convolution(channels_in, middle, 3, stride, **few))
            self.convolution(_Convolution(middle, channels_out, 3))
        else:
            raise AssertionError(kind)

    def attention(self, channels: int, head_dim: int, scales: tuple[int, ...], global_attention: bool) -> None:
        heads = channels // head_dim
        inner = heads * head_dim * (3 if global_attention else 1)
        groups = inner // head_dim
        self.convolution(_Convolution(channels, inner, 1, norm=False))
        for kernel in scales:
            self.convolution(_Convolution(inner, inner, kernel, groups=inner, norm=False))
            self.convolution(_Convolution(inner, inner, 1, groups=groups, norm=False))
        branches = 1 + len(scales)
        if global_attention:
            tokens = self.height * self.width
            self.macs += 2 * tokens * head_dim * (head_dim + 1) * heads * branches
        self.convolution(_Convolution(heads * head_dim * branches, channels, 1))

    def backbone(self, table: BackboneTable, in_channels: int) -> list[tuple[int, int, int]]:
        """-> (channels, height, width) of every stage."""
        features = []
        channels = in_channels
        for index, stage in enumerate(table.stages):
            stride = table.stem_stride if index == 0 else 2
            if stage.down == "conv":
                self.convolution(_Convolution(channels, stage.width, 3, stride))
            else:
                self.block(stage.down, channels, stage.width, stage.down_expand, stride, stage.fewer_norm)
            channels = stage.width
            for _ in range(stage.depth):
                if stage.block == "att":
                    self.attention(channels, table.head_dim, stage.scales, table.global_attention)
                    self.block("mb", channels, channels, stage.expand, 1, fewer_norm=True)
                else:
                    self.block(stage.block, channels, channels, stage.expand, 1, stage.fewer_norm)
            features.append((channels, self.height, self.width))
        return features

    def fusion(self, features: list[tuple[int, int, int]], width: int) -> None:
        """One 1x1 convolution per map; the sum takes the size of the finest."""
        for channels, height, width_of_map in features:
            self.height, self.width = height, width_of_map
            self.convolution(_Convolution(channels, width, 1))

    def segmentation_head(
        self, head: SegmentationHeadTable, features: list[tuple[int, int, int]], classes: int
    ) -> None:
        self.fusion(_of_strides(features, head.strides), head.width)
        for _ in range(head.depth):
            self.block(head.block, head.width, head.width, head.expand, 1, fewer_norm=False)
        width = head.width
        if head.final_expand is not None:
            width = round(head.width * head.final_expand)
            self.convolution(_Convolution(head.width, width, 1))
        self.convolution(_Convolution(width, classes, 1, norm=False, bias=True))

    def super_resolution_head(
        self, head: SuperResolutionHeadTable, features: list[tuple[int, int, int]], channels: int
    ) -> None:
        """`channels` of the output: those of the picture for each of the pixels that one becomes."""
        self.fusion([features[stride.bit_length() - 1] for stride in head.strides], head.width)
        for _ in range(head.depth):
            self.block(head.block, head.width, head.width, head.expand, 1, fewer_norm=False)
        self.convolution(_Convolution(head.width, channels, 3, norm=False, bias=True))

    def classification_head(
        self, head: ClassificationHeadTable, features: list[tuple[int, int, int]], classes: int
    ) -> None:
        channels, self.height, self.width = features[-1]
        self.convolution(_Convolution(channels, head.width, 1))
        self.height = self.width = 1
        self.convolution(_Convolution(head.width, head.hidden, 1))
        self.convolution(_Convolution(head.hidden, classes, 1, norm=False, bias=True))

    def neck(self, neck: NeckTable, features: list[tuple[int, int, int]]) -> None:
        self.fusion(_of_strides(features, neck.strides), neck.width)
        for _ in range(neck.depth):
            self.block(neck.block, neck.width, neck.width, neck.expand, 1, fewer_norm=False)
        self.convolution(_Convolution(neck.width, neck.embedding, 1, norm=False, bias=True))
        self.params += 2 * neck.embedding  # LayerNorm


def _of_strides(features: list[tuple[int, int, int]], strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    return [features[stride.bit_length() - 2] for stride in strides]


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
    """What a model costs.

    Args:
        table: a row of `ARCHITECTURES` or `BACKBONES`.
        size: (height, width) of the input in pixels.
        in_channels: channels of the input.
        classes: class count of the head, the table's own when None; where there is no classifier, nothing.

    Returns:
        Learnable parameters (BatchNorm statistics are none) and multiply-accumulates.

    Raises:
        ValueError: a size below one pixel.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least (1, 1), got {size}")
    backbone = table if isinstance(table, BackboneTable) else table.backbone
    counter = _Counter(height, width, norm=backbone.norm)
    if isinstance(table, BackboneTable):
        counter.backbone(table, in_channels)
        return Cost(counter.params, counter.macs)
    features = counter.backbone(table.backbone, in_channels)
    if isinstance(table, SegmentationTable):
        counter.segmentation_head(table.head, features, table.classes if classes is None else classes)
    elif isinstance(table, ClassificationTable):
        counter.classification_head(table.head, features, table.classes if classes is None else classes)
    elif isinstance(table, SuperResolutionTable):
        counter.super_resolution_head(table.head, features, in_channels * table.scale**2)
    else:
        counter.neck(table.neck, features)
        encoder = counter.params
        params = (
            encoder + _prompt_encoder_params(table.neck.embedding) + _mask_decoder_params(table.neck.embedding)
        )
        return Cost(params, counter.macs, encoder)
    return Cost(counter.params, counter.macs)
