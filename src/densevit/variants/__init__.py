"""The tables that tell one EfficientViT from another, and what each one costs; nothing here needs torch.

A variant is data: a row of stages read by `densevit.models.backbone`, and a row per head.
"""

from densevit.variants.architectures import (
    ARCHITECTURES,
    CLASSIFICATION,
    PROMPTABLE,
    SEGMENTATION,
    SUPER_RESOLUTION,
    architecture,
)
from densevit.variants.backbones import BACKBONES
from densevit.variants.cost import Cost, count
from densevit.variants.tables import (
    Activation,
    Architecture,
    BackboneTable,
    Block,
    ClassificationHeadTable,
    ClassificationTable,
    NeckTable,
    PromptableTable,
    SegmentationHeadTable,
    SegmentationTable,
    Stage,
    SuperResolutionHeadTable,
    SuperResolutionTable,
)

__all__ = [
    "ARCHITECTURES",
    "BACKBONES",
    "CLASSIFICATION",
    "PROMPTABLE",
    "SEGMENTATION",
    "SUPER_RESOLUTION",
    "Activation",
    "Architecture",
    "BackboneTable",
    "Block",
    "ClassificationHeadTable",
    "ClassificationTable",
    "Cost",
    "NeckTable",
    "PromptableTable",
    "SegmentationHeadTable",
    "SegmentationTable",
    "Stage",
    "SuperResolutionHeadTable",
    "SuperResolutionTable",
    "architecture",
    "count",
]
