"""The architectures: a backbone with what reads its maps, one row per published training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from densevit.core.errors import UsageError
from densevit.variants.backbones import BACKBONES, for_segment_anything, for_super_resolution
from densevit.variants.tables import (
    Architecture,
    ClassificationHeadTable,
    ClassificationTable,
    EfficientViTEncoderTable,
    NeckTable,
    PromptableTable,
    SegmentationHeadTable,
    SegmentationTable,
    SuperResolutionHeadTable,
    SuperResolutionTable,
)
from densevit.variants.tiny_vit import TINY_VIT_5M


def _segmentation() -> Iterator[SegmentationTable]:
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


def _classification() -> Iterator[ClassificationTable]:
    rows = (
        ("b0", 1024, 1280),
        ("b1", 1536, 1600),
        ("b2", 2304, 2560),
        ("b3", 2304, 2560),
        ("l1", 3072, 3200),
        ("l2", 3072, 3200),
        ("l3", 6144, 6400),
    )
    for name, width, hidden in rows:
        backbone = BACKBONES[name]
        head = ClassificationHeadTable(width, hidden, backbone.activation)
        yield ClassificationTable(f"cls-{name}", backbone, head, 1000)


def _promptable() -> Iterator[PromptableTable]:
    rows = (
        ("l0", 4, 1, (32, 16, 8), 512),
        ("l1", 8, 1, (32, 16, 8), 512),
        ("l2", 12, 1, (32, 16, 8), 512),
        ("xl0", 6, 4, (64, 32, 16), 1024),
        ("xl1", 12, 4, (64, 32, 16), 1024),
    )
    for name, depth, expand, strides, side_px in rows:
        neck = NeckTable(256, depth, expand, "fmb", "gelu", strides)
        encoder = EfficientViTEncoderTable(for_segment_anything(name), neck)
        yield PromptableTable(f"sam-{name}", encoder, side_px, decoder_norm_eps=1e-6)
    # ours: learns MobileSAM's embedding, and so has its decoder
    neck = NeckTable(128, 4, 1, "fmb", "hswish", (32, 16, 8))
    encoder = EfficientViTEncoderTable(BACKBONES["b1"], neck)
    yield PromptableTable("sam-b1", encoder, 512, decoder_norm_eps=1e-5)
    yield PromptableTable("mobile-sam", TINY_VIT_5M, 1024, decoder_norm_eps=1e-5)


def _super_resolution() -> Iterator[SuperResolutionTable]:
    for suffix, width, coarse_width in (("", 48, 64), ("-w0.75", 36, 48)):
        backbone = for_super_resolution(width, coarse_width, 3)
        head = SuperResolutionHeadTable(width, 6, 1, "res", "relu", (4, 2, 1))
        for scale in (2, 3, 4):
            yield SuperResolutionTable(f"sr-x{scale}{suffix}", backbone, head, scale)


_Row = TypeVar("_Row", SegmentationTable, ClassificationTable, PromptableTable, SuperResolutionTable)


def _by_name(rows: Iterator[_Row]) -> dict[str, _Row]:
    return {row.name: row for row in rows}


SEGMENTATION = _by_name(_segmentation())
"""Segmentation models by architecture name; `seg-b1` is the Cityscapes head, `seg-b1-ade20k` the other."""

CLASSIFICATION = _by_name(_classification())
"""ImageNet classifiers by architecture name; one serves all resolutions."""

PROMPTABLE = _by_name(_promptable())
"""Segment Anything models by architecture name."""

SUPER_RESOLUTION = _by_name(_super_resolution())
"""Super-resolution models by architecture name; `sr-x2` is the paper's w1.0, `sr-x2-w0.75` the narrower one."""

ARCHITECTURES: dict[str, Architecture] = {**SEGMENTATION, **CLASSIFICATION, **PROMPTABLE, **SUPER_RESOLUTION}
"""Every architecture by name."""


def find_architecture(name: str) -> Architecture:
    """The row of that name.

    Raises:
        UsageError: no such architecture; the message lists all of them.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"unknown architecture {name!r}; known: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
