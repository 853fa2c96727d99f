"""Counts parameters and arithmetic along the path of an image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from densevit.variants.tables import (
    BackboneTable,
    Block,
    ClassificationHeadTable,
    NeckTable,
    SegmentationHeadTable,
    SuperResolutionHeadTable,
)
from densevit.variants.tiny_vit import TinyViTTable


@dataclass(frozen=True)
class Convolution:
    """A convolution with its norm and bias."""

    channels_in: int
    channels_out: int
    kernel: int
    stride: int = 1
    groups: int = 1
    norm: bool = True
    bias: bool = False

    @property
    def params(self) -> int:
        """Learnable."""
        weights = self.kernel**2 * self.channels_in // self.groups * self.channels_out
        return weights + self.channels_out * (2 * self.norm + self.bias)

    def macs(self, positions: int) -> int:
        """On a map with that number of positions."""
        return positions * self.kernel**2 * self.channels_in // self.groups * self.channels_out


class Counter:
    """Walks a model as the modules do, following the size of the maps.

    Args:
        height: of the input in pixels.
        width: of the input in pixels.
        norm: False: biases instead of BatchNorms.
    """

    def __init__(self, height: int, width: int, *, norm: bool = True) -> None:
        self.height, self.width = height, width
        self.norm = norm
        self.params = 0
        self.macs = 0

    def convolution(self, convolution: Convolution) -> None:
        """The map becomes smaller by its stride, rounded up."""
        if convolution.norm and not self.norm:
            convolution = replace(convolution, norm=False, bias=True)
        self.height = -(-self.height // convolution.stride)
        self.width = -(-self.width // convolution.stride)
        self.params += convolution.params
        self.macs += convolution.macs(self.height * self.width)

    def block(
        self, kind: Block, channels_in: int, channels_out: int, expand: float, stride: int, fewer_norm: bool
    ) -> None:
        """A residual block other than the EfficientViT module."""
        middle = round(channels_in * expand)
        few = {"norm": not fewer_norm, "bias": fewer_norm}
        if kind == "ds":
            self.convolution(Convolution(channels_in, channels_in, 3, stride, channels_in, **few))
            self.convolution(Convolution(channels_in, channels_out, 1))
        elif kind == "mb":
            self.convolution(Convolution(channels_in, middle, 1, **few))
            self.convolution(Convolution(middle, middle, 3, stride, middle, **few))
            self.convolution(Convolution(middle, channels_out, 1))
        elif kind == "fmb":
            self.convolution(Convolution(channels_in, middle, 3, stride, **few))
            self.convolution(Convolution(middle, channels_out, 1))
        elif kind == "res":
            self.convolution(Convolution(channels_in, middle, 3, stride, **few))
            self.convolution(Convolution(middle, channels_out, 3))
        else:
            raise AssertionError(kind)

    def attention(self, channels: int, head_dim: int, scales: tuple[int, ...], global_attention: bool) -> None:
        """Multi-scale linear attention."""
        heads = channels // head_dim
        inner = heads * head_dim * (3 if global_attention else 1)
        groups = inner // head_dim
        self.convolution(Convolution(channels, inner, 1, norm=False))
        for kernel in scales:
            self.convolution(Convolution(inner, inner, kernel, groups=inner, norm=False))
            self.convolution(Convolution(inner, inner, 1, groups=groups, norm=False))
        branches = 1 + len(scales)
        if global_attention:
            tokens = self.height * self.width
            self.macs += 2 * tokens * head_dim * (head_dim + 1) * heads * branches
        self.convolution(Convolution(heads * head_dim * branches, channels, 1))

    def backbone(self, table: BackboneTable, in_channels: int) -> list[tuple[int, int, int]]:
        """-> (channels, height, width) of every stage."""
        features = []
        channels = in_channels
        for index, stage in enumerate(table.stages):
            stride = table.stem_stride if index == 0 else 2
            if stage.down == "conv":
                self.convolution(Convolution(channels, stage.width, 3, stride))
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
            self.convolution(Convolution(channels, width, 1))

    def segmentation_head(
        self, head: SegmentationHeadTable, features: list[tuple[int, int, int]], classes: int
    ) -> None:
        """Reads the maps of three strides."""
        self.fusion(_of_strides(features, head.strides), head.width)
        for _ in range(head.depth):
            self.block(head.block, head.width, head.width, head.expand, 1, fewer_norm=False)
        width = head.width
        if head.final_expand is not None:
            width = round(head.width * head.final_expand)
            self.convolution(Convolution(head.width, width, 1))
        self.convolution(Convolution(width, classes, 1, norm=False, bias=True))

    def super_resolution_head(
        self, head: SuperResolutionHeadTable, features: list[tuple[int, int, int]], channels: int
    ) -> None:
        """`channels` of the output: those of the image for each of the pixels that one becomes."""
        self.fusion([features[stride.bit_length() - 1] for stride in head.strides], head.width)
        for _ in range(head.depth):
            self.block(head.block, head.width, head.width, head.expand, 1, fewer_norm=False)
        self.convolution(Convolution(head.width, channels, 3, norm=False, bias=True))

    def classification_head(
        self, head: ClassificationHeadTable, features: list[tuple[int, int, int]], classes: int
    ) -> None:
        """Reads the coarsest map."""
        channels, self.height, self.width = features[-1]
        self.convolution(Convolution(channels, head.width, 1))
        self.height = self.width = 1
        self.convolution(Convolution(head.width, head.hidden, 1))
        self.convolution(Convolution(head.hidden, classes, 1, norm=False, bias=True))

    def neck(self, neck: NeckTable, features: list[tuple[int, int, int]]) -> None:
        """Of EfficientViT-SAM; reads the maps of three strides."""
        self.fusion(_of_strides(features, neck.strides), neck.width)
        for _ in range(neck.depth):
            self.block(neck.block, neck.width, neck.width, neck.expand, 1, fewer_norm=False)
        self.convolution(Convolution(neck.width, neck.embedding, 1, norm=False, bias=True))
        self.params += 2 * neck.embedding  # LayerNorm

    def tiny_vit(self, table: TinyViTTable, in_channels: int) -> None:
        """The whole image encoder of MobileSAM."""
        width = table.stages[0].width
        self.convolution(Convolution(in_channels, width // 2, 3, 2))
        self.convolution(Convolution(width // 2, width, 3, 2))
        for stage, following in zip(table.stages, (*table.stages[1:], None), strict=True):
            width = stage.width
            for _ in range(stage.depth):
                if stage.heads:
                    self.window_attention(width, stage.heads, stage.window)
                    self.convolution(Convolution(width, width, 3, groups=width))
                    self.params += 2 * width  # LayerNorm
                    self.linear(width, table.expand * width, self.height * self.width)
                    self.linear(table.expand * width, width, self.height * self.width)
                else:
                    self.block("mb", width, width, table.expand, 1, fewer_norm=False)
            if following is not None:
                self.convolution(Convolution(width, following.width, 1))
                self.convolution(
                    Convolution(following.width, following.width, 3, stage.down_stride, following.width)
                )
                self.convolution(Convolution(following.width, following.width, 1))
        for channels, kernel in ((width, 1), (table.embedding, 3)):
            self.convolution(Convolution(channels, table.embedding, kernel, norm=False))
            self.params += 2 * table.embedding  # LayerNorm

    def window_attention(self, channels: int, heads: int, window: int) -> None:
        """Softmax attention in every window, those that reach beyond the map included."""
        windows = -(-self.height // window) * -(-self.width // window)
        tokens = window**2
        self.params += 2 * channels + heads * tokens  # LayerNorm, and a bias per head and distance
        self.linear(channels, 3 * channels, windows * tokens)
        self.macs += 2 * windows * tokens**2 * channels
        self.linear(channels, channels, windows * tokens)

    def linear(self, channels_in: int, channels_out: int, positions: int) -> None:
        """A linear layer with a bias, applied at each position."""
        self.params += channels_in * channels_out + channels_out
        self.macs += channels_in * channels_out * positions


def _of_strides(features: list[tuple[int, int, int]], strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    return [features[stride.bit_length() - 2] for stride in strides]
