"""Names become modules: a backbone and a head, built here and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from densevit.models.backbone import Backbone
from densevit.models.heads import SegmentationHead
from densevit.variants import SEGMENTATION, SegmentationTable


class DenseModel(nn.Module):
    """A backbone and the head that reads its maps.

    Args:
        backbone: gives the list of maps.
        head: turns the maps into the answer.
    """

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) normalised picture -> the head's answer, (B, classes, H / 8, W / 8) for segmentation."""
        out: Tensor = self.head(self.backbone(x))
        return out


def build_segmentation(
    table: SegmentationTable, *, classes: int | None = None, in_channels: int = 3
) -> DenseModel:
    """A segmentation model with random weights; `classes` defaults to the table's own count."""
    backbone = Backbone(table.backbone, in_channels=in_channels)
    head = SegmentationHead(
        table.head,
        backbone.features,
        classes=table.classes if classes is None else classes,
        norm_eps=table.backbone.norm_eps,
    )
    return DenseModel(backbone, head)


def segmentation_table(name: str, *, multi_scale: bool = True, global_attention: bool = True) -> SegmentationTable:
    """The row of that name, with the paper's ablations (Table 1) applied.

    Raises:
        ValueError: no such architecture.
    """
    if name not in SEGMENTATION:
        raise ValueError(f"unknown architecture {name!r}; known: {', '.join(SEGMENTATION)}")
    table = SEGMENTATION[name]
    backbone = table.backbone
    if not multi_scale:
        backbone = backbone.without_multi_scale()
    if not global_attention:
        backbone = backbone.without_global_attention()
    return replace(table, backbone=backbone)


def create_model(
    name: str,
    *,
    classes: int | None = None,
    in_channels: int = 3,
    multi_scale: bool = True,
    global_attention: bool = True,
) -> DenseModel:
    """A plain `nn.Module` with random weights.

    Args:
        name: an architecture, such as "seg-b1" (Cityscapes head) or "seg-b1-ade20k".
        classes: class count; the published one when None.
        in_channels: channels of the input picture.
        multi_scale: False removes the aggregated branches of the attention.
        global_attention: False removes the mixing of tokens.

    Raises:
        ValueError: unknown architecture, or a count below 1.
    """
    table = segmentation_table(name, multi_scale=multi_scale, global_attention=global_attention)
    return build_segmentation(table, classes=classes, in_channels=in_channels)
