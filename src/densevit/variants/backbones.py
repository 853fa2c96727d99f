"""The backbones, one row each."""

from __future__ import annotations

from dataclasses import replace

from densevit.variants.tables import BackboneTable, Block, Stage

_LKind = tuple[Block, float, bool]  # block, its expansion, fewer norms


def _b_backbone(name: str, widths: tuple[int, ...], depths: tuple[int, ...], head_dim: int) -> BackboneTable:
    """The B family. Its published depths of stages 1 and 2 count the halving block, those of 3 and 4 do not."""
    stages = [Stage("ds", widths[0], depths[0], down="conv")]
    for width, depth in zip(widths[1:3], depths[1:3], strict=True):
        stages.append(Stage("mb", width, depth - 1, expand=4, down_expand=4))
    for width, depth in zip(widths[3:], depths[3:], strict=True):
        stages.append(Stage("att", width, depth, expand=4, down_expand=4, fewer_norm=True, scales=(5,)))
    return BackboneTable(name, "b", tuple(stages), head_dim, "hswish", 1e-5)


_L_KINDS: tuple[_LKind, ...] = (
    ("res", 1, False),
    ("fmb", 4, False),
    ("fmb", 4, False),
    ("mb", 4, True),
    ("att", 6, True),
)
_XL_KINDS: tuple[_LKind, ...] = (
    ("res", 1, False),
    ("fmb", 4, False),
    ("fmb", 4, False),
    ("fmb", 4, False),
    ("att", 4, True),
    ("att", 6, True),
)


def _l_backbone(
    name: str,
    widths: tuple[int, ...],
    depths: tuple[int, ...],
    *,
    kinds: tuple[_LKind, ...] = _L_KINDS,
    scales: tuple[int, ...] = (5,),
    norm_eps: float = 1e-7,
) -> BackboneTable:
    """The L family; its halving blocks expand four times as much as the blocks after them."""
    stages = []
    for index, ((block, expand, fewer_norm), width, depth) in enumerate(zip(kinds, widths, depths, strict=True)):
        stages.append(
            Stage(
                block,
                width,
                depth,
                expand=expand,
                down="conv" if index == 0 else "fmb" if block == "fmb" else "mb",
                down_expand=4 * expand,
                fewer_norm=fewer_norm,
                scales=scales if block == "att" else (),
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
        _l_backbone("l0", _L_WIDTHS, (1, 1, 1, 4, 4), norm_eps=1e-6),
        _l_backbone("l1", _L_WIDTHS, (1, 1, 1, 6, 6)),
        _l_backbone("l2", _L_WIDTHS, (1, 2, 2, 8, 8)),
        _l_backbone("l3", (64, 128, 256, 512, 1024), (1, 2, 2, 8, 8)),
        _l_backbone("xl0", (*_L_WIDTHS, 1024), (0, 1, 1, 2, 3, 3), kinds=_XL_KINDS, scales=(3,), norm_eps=1e-6),
        _l_backbone("xl1", (*_L_WIDTHS, 1024), (1, 2, 2, 4, 6, 6), kinds=_XL_KINDS, scales=(3,), norm_eps=1e-6),
    )
}
"""Backbones by name. L0, XL0 and XL1 are published for Segment Anything only, hence their epsilon."""


def for_super_resolution(width: int, coarse_width: int, depth: int) -> BackboneTable:
    """A backbone that begins at the input's resolution and goes down twice (paper, section 2.2).

    Dense convolutions where the detail is, one EfficientViT module where there are few positions. No BatchNorm:
    it costs a quarter of the training's time at full resolution and gains nothing (docs/training/README.md).

    Args:
        width: channels at strides 1 and 2.
        coarse_width: channels at stride 4, where the attention is.
        depth: residual blocks at stride 1.
    """
    stages = (
        Stage("res", width, depth, down="conv"),
        Stage("res", width, 0, down="conv"),
        Stage("att", coarse_width, 1, expand=4, down="conv", scales=(5,)),
    )
    return BackboneTable("sr", "sr", stages, 16, "relu", 1e-5, stem_stride=1, norm=False)


def for_segment_anything(name: str) -> BackboneTable:
    """The backbone of that name with the epsilon that every Segment Anything model has."""
    return replace(BACKBONES[name], norm_eps=1e-6)
