"""The families of networks: what tables of one kind have in common, a row each.

`models.build.BUILDERS` and `checkpoints.names.NAME_MAPS` have a row per family too, as they need PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from densevit.core.errors import UsageError
from densevit.variants.cost import (
    Cost,
    count_backbone,
    count_classification,
    count_efficientvit_sam,
    count_segmentation,
    count_super_resolution,
    count_tiny_vit_sam,
)
from densevit.variants.tables import Architecture, BackboneTable, SegmentationTable

_BACKBONE_STEM = "backbone.stages.0.0.conv.weight"


@dataclass(frozen=True)
class Family:
    """Networks whose tables are of one kind.

    Attributes:
        count: (table, (height, width), channels, classes or None) -> the cost.
        ablate: (table, change of a backbone) -> the table with the changed backbone; None where there is none.
        stem: our name of the weight that reads the image.
        find_classifier: table -> the prefix of our names of the classifier's weight and bias; "" without classes.
        has_classes: whether the number of classes may be chosen.
    """

    count: Callable[[Any, tuple[int, int], int, int | None], Cost]
    ablate: Callable[[Any, Callable[[BackboneTable], BackboneTable]], Any] | None
    stem: str
    find_classifier: Callable[[Any], str] = lambda table: ""
    has_classes: bool = False


def _change_backbone(table: Any, change: Callable[[BackboneTable], BackboneTable]) -> Any:
    return replace(table, backbone=change(table.backbone))


def _change_encoder(table: Any, change: Callable[[BackboneTable], BackboneTable]) -> Any:
    return replace(table, encoder=_change_backbone(table.encoder, change))


def _find_segmentation_classifier(table: SegmentationTable) -> str:
    return f"head.output.{0 if table.head.final_expand is None else 1}.conv."


FAMILIES: dict[str, Family] = {
    "backbone": Family(count_backbone, lambda table, change: change(table), "stages.0.0.conv.weight"),
    "segmentation": Family(
        count_segmentation, _change_backbone, _BACKBONE_STEM, _find_segmentation_classifier, has_classes=True
    ),
    "classification": Family(
        count_classification, _change_backbone, _BACKBONE_STEM, lambda table: "head.classifier.", has_classes=True
    ),
    "super_resolution": Family(count_super_resolution, _change_backbone, _BACKBONE_STEM),
    "efficientvit_sam": Family(count_efficientvit_sam, _change_encoder, f"image_encoder.{_BACKBONE_STEM}"),
    "tiny_vit_sam": Family(count_tiny_vit_sam, None, "image_encoder.patch_embed.seq.0.conv.weight"),
}
"""`kind` of a table -> what holds for it."""


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
    if min(size) < 1:
        raise ValueError(f"size must be at least (1, 1), got {size}")
    return FAMILIES[table.kind].count(table, size, in_channels, classes)


def with_ablations(
    table: Architecture, *, multi_scale: bool = True, global_attention: bool = True
) -> Architecture:
    """The same architecture without what is switched off (paper, Table 1).

    Raises:
        UsageError: something is switched off in a network that is not an EfficientViT.
    """
    if multi_scale and global_attention:
        return table
    ablate = FAMILIES[table.kind].ablate
    if ablate is None:
        raise UsageError(f"{table.name} is not an EfficientViT; multi_scale and global_attention must be True")

    def change(backbone: BackboneTable) -> BackboneTable:
        if not multi_scale:
            backbone = backbone.without_multi_scale()
        return backbone if global_attention else backbone.without_global_attention()

    changed: Architecture = ablate(table, change)
    return changed
