"""The tables that define every network, and their costs; nothing here needs torch.

A variant is data: a row of stages read by `densevit.models.backbone` (or `models.tiny_vit`), and a row per head.
"""

from densevit.variants.architectures import (
    ARCHITECTURES,
    CLASSIFICATION,
    PROMPTABLE,
    SEGMENTATION,
    SUPER_RESOLUTION,
    find_architecture,
)
from densevit.variants.backbones import BACKBONES
from densevit.variants.cost import Cost
from densevit.variants.families import FAMILIES, Family, count, with_ablations
from densevit.variants.tables import (
    Activation,
    Architecture,
    BackboneTable,
    Block,
    ClassificationHeadTable,
    ClassificationTable,
    EfficientViTEncoderTable,
    NeckTable,
    PromptableTable,
    SegmentationHeadTable,
    SegmentationTable,
    Stage,
    SuperResolutionHeadTable,
    SuperResolutionTable,
)
from densevit.variants.tiny_vit import TINY_VIT_5M, TinyViTStage, TinyViTTable

__all__ = [
    "ARCHITECTURES",
    "BACKBONES",
    "CLASSIFICATION",
    "FAMILIES",
    "PROMPTABLE",
    "SEGMENTATION",
    "SUPER_RESOLUTION",
    "TINY_VIT_5M",
    "Activation",
    "Architecture",
    "BackboneTable",
    "Block",
    "ClassificationHeadTable",
    "ClassificationTable",
    "Cost",
    "EfficientViTEncoderTable",
    "Family",
    "NeckTable",
    "PromptableTable",
    "SegmentationHeadTable",
    "SegmentationTable",
    "Stage",
    "SuperResolutionHeadTable",
    "SuperResolutionTable",
    "TinyViTStage",
    "TinyViTTable",
    "count",
    "find_architecture",
    "with_ablations",
]
