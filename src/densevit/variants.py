"""The tables that tell one EfficientViT from another, and what each one costs; nothing here needs torch.

A variant is data: a row of stages read by `densevit.models.backbone`, and a row per head. Source of the
figures: EfficientViT (arXiv 2205.14756), section 2.3, and the official configurations of the B and L
families; `count` follows section 9 of the same facts (multiply-accumulates of convolutions, linear layers
and 2 N d (d + 1) per attention head).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Block = Literal["ds", "res", "mb", "fmb", "att"]
"""Depthwise-separable, plain residual, MBConv, fused MBConv, EfficientViT module."""
Activation = Literal["hswish", "gelu"]
"""Hardswish (B family); GELU with the tanh approximation (L family)."""


@dataclass(frozen=True)
class Stage:
    """One resolution of the backbone: a step that halves the size, then `depth` residual blocks."""

    block: Block
    width: int
    depth: int
    expand: float = 1.0
    # the step that halves the size: its kind ("conv" only in the stem) and its own expansion
    down: Literal["conv", "mb", "fmb"] = "mb"
    down_expand: float = 1.0
    # True: biases instead of BatchNorm in all but the last convolution of each block
    fewer_norm: bool = False
    # kernel sizes of the aggregated (multi-scale) branches of the attention
    scales: tuple[int, ...] = ()


@dataclass(frozen=True)
class BackboneTable:
    """A backbone: the stem is stage 0 (stride 2), stage s has stride 2 ** (s + 1)."""

    name: str
    family: Literal["b", "l"]
    stages: tuple[Stage, ...]
    head_dim: int
    activation: Activation
    norm_eps: float
    # False: the attention passes each token's own value through, and queries and keys do not exist
    global_attention: bool = True

    def without_multi_scale(self) -> BackboneTable:
        """The same backbone with a single scale in every attention (paper, Table 1)."""
        return replace(self, stages=tuple(replace(stage, scales=()) for stage in self.stages))

    def without_global_attention(self) -> BackboneTable:
        """The same backbone whose tokens do not see each other in the attention (paper, Table 1)."""
        return replace(self, global_attention=False)


@dataclass(frozen=True)
class SegmentationHeadTable:
    """Fusion of the last three stages at stride 8, residual blocks, classifier."""

    width: int
    depth: int
    expand: float
    block: Literal["mb", "fmb"]
    # expansion of a last 1x1 convolution before the classifier; None where there is none
    final_expand: float | None
    activation: Activation


@dataclass(frozen=True)
class SegmentationTable:
    """A backbone with the segmentation head of one published training."""

    name: str
    backbone: BackboneTable
    head: SegmentationHeadTable
    classes: int


@dataclass(frozen=True)
class Cost:
    """Learnable parameters, and multiply-accumulates at one picture size."""

    params: int
    macs: int


def _b_backbone(name: str, widths: tuple[int, ...], depths: tuple[int, ...], head_dim: int) -> BackboneTable:
    """The B family. Its published depths of stages 1 and 2 count the halving block, those of 3 and 4 do not."""
    stages = [Stage("ds", widths[0], depths[0], down="conv")]
    for width, depth in zip(widths[1:3], depths[1:3], strict=True):
        stages.append(Stage("mb", width, depth - 1, expand=4, down_expand=4))
    for width, depth in zip(widths[3:], depths[3:], strict=True):
        stages.append(Stage("att", width, depth, expand=4, down_expand=4, fewer_norm=True, scales=(5,)))
    return BackboneTable(name, "b", tuple(stages), head_dim, "hswish", 1e-5)


def _l_backbone(name: str, widths: tuple[int, ...], depths: tuple[int, ...], norm_eps: float) -> BackboneTable:
    """The L family; its halving blocks expand four times as much as the blocks after them."""
    rows: tuple[tuple[Block, float, bool], ...] = (
        ("res", 1, False),
        ("fmb", 4, False),
        ("fmb", 4, False),
        ("mb", 4, True),
        ("att", 6, True),
    )
    stages = []
    for index, ((block, expand, fewer_norm), width, depth) in enumerate(zip(rows, widths, depths, strict=True)):
        stages.append(
            Stage(
                block,
                width,
                depth,
                expand=expand,
                down="conv" if index == 0 else "fmb" if block == "fmb" else "mb",
                down_expand=4 * expand,
                fewer_norm=fewer_norm,
                scales=(5,) if block == "att" else (),
            )
        )
    return BackboneTable(name, "l", tuple(stages), 32, "gelu", norm_eps)


_L_WIDTHS = (32, 64, 128, 256, 512)

BACKBONES: dict[str, BackboneTable] = {
    table.name: table
    for table in (
        _b_backbone("b0", (8, 16, 32, 64, 128), (1, 2, 2, 2, 2), 16),
        _b_backbone("b1", (16, 32, 64, 128, 256), (1, 2, 3, 3, 4), 16),
        _b_backbone("b2", (24, 48, 96, 192, 384), (1, 3, 4, 4, 6), 32),
        _b_backbone("b3", (32, 64, 128, 256, 512), (1, 4, 6, 6, 9), 32),
        _l_backbone("l0", _L_WIDTHS, (1, 1, 1, 4, 4), 1e-6),
        _l_backbone("l1", _L_WIDTHS, (1, 1, 1, 6, 6), 1e-7),
        _l_backbone("l2", _L_WIDTHS, (1, 2, 2, 8, 8), 1e-7),
        _l_backbone("l3", (64, 128, 256, 512, 1024), (1, 2, 2, 8, 8), 1e-7),
    )
}
"""Backbones by name. L0 is published for Segment Anything only, hence its epsilon."""


def _segmentation_tables() -> Iterator[SegmentationTable]:
    for name, width, depth in (("b0", 32, 1), ("b1", 64, 3), ("b2", 96, 3), ("b3", 128, 3)):
        head = SegmentationHeadTable(width, depth, 4, "mb", 4, "hswish")
        yield SegmentationTable(f"seg-{name}", BACKBONES[name], head, 19)
        if name != "b0":
            head = replace(head, final_expand=None)
            yield SegmentationTable(f"seg-{name}-ade20k", BACKBONES[name], head, 150)
    for name, depth in (("l1", 3), ("l2", 5)):
        head = SegmentationHeadTable(256, depth, 1, "fmb", None, "gelu")
        yield SegmentationTable(f"seg-{name}", BACKBONES[name], head, 19)
        head = SegmentationHeadTable(128, 3, 4, "fmb", 8, "gelu")
        yield SegmentationTable(f"seg-{name}-ade20k", BACKBONES[name], head, 150)


SEGMENTATION: dict[str, SegmentationTable] = {table.name: table for table in _segmentation_tables()}
"""Segmentation models by architecture name; `seg-b1` is the Cityscapes head, `seg-b1-ade20k` the other."""


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

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.params = 0
        self.macs = 0

    def convolution(self, convolution: _Convolution) -> None:
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
        for stage in table.stages:
            if stage.down == "conv":
                self.convolution(_Convolution(channels, stage.width, 3, 2))
            else:
                self.block(stage.down, channels, stage.width, stage.down_expand, 2, stage.fewer_norm)
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
        self.fusion([features[4], features[3], features[2]], head.width)
        for _ in range(head.depth):
            self.block(head.block, head.width, head.width, head.expand, 1, fewer_norm=False)
        width = head.width
        if head.final_expand is not None:
            width = round(head.width * head.final_expand)
            self.convolution(_Convolution(head.width, width, 1))
        self.convolution(_Convolution(width, classes, 1, norm=False, bias=True))


def count(
    table: SegmentationTable | BackboneTable,
    size: tuple[int, int],
    *,
    in_channels: int = 3,
    classes: int | None = None,
) -> Cost:
    """What a model costs.

    Args:
        table: a row of `SEGMENTATION` or `BACKBONES`.
        size: (height, width) of the input in pixels.
        in_channels: channels of the input.
        classes: class count of the head, the table's own when None; backbones have none.

    Returns:
        Learnable parameters (BatchNorm statistics are none) and multiply-accumulates.

    Raises:
        ValueError: a size below one pixel.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least (1, 1), got {size}")
    counter = _Counter(height, width)
    if isinstance(table, BackboneTable):
        counter.backbone(table, in_channels)
    else:
        features = counter.backbone(table.backbone, in_channels)
        counter.segmentation_head(table.head, features, table.classes if classes is None else classes)
    return Cost(counter.params, counter.macs)
