"""The rows of the variant tables.

Source: EfficientViT (arXiv 2205.14756), section 2.3, and the official configurations of the B and L families.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from densevit.variants.tiny_vit import TinyViTTable

Block = Literal["ds", "res", "mb", "fmb", "att"]
"""Depthwise-separable, plain residual, MBConv, fused MBConv, EfficientViT module."""
Activation = Literal["hswish", "gelu", "relu"]
"""Hardswish (B family); GELU with the tanh approximation (L family); ReLU (super-resolution)."""


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
    """A backbone: the stem is stage 0 (stride `stem_stride`), each further stage halves the size."""

    name: str
    family: Literal["b", "l", "sr"]
    stages: tuple[Stage, ...]
    head_dim: int
    activation: Activation
    norm_eps: float
    # False: the attention passes each token's own value through, and queries and keys do not exist
    global_attention: bool = True
    stem_stride: Literal[1, 2] = 2
    # False: biases instead of every BatchNorm
    norm: bool = True

    kind: ClassVar[str] = "backbone"  # a key of `families.FAMILIES`

    def without_multi_scale(self) -> BackboneTable:
        """The same backbone with a single scale in every attention (paper, Table 1)."""
        return replace(self, stages=tuple(replace(stage, scales=()) for stage in self.stages))

    def without_global_attention(self) -> BackboneTable:
        """The same backbone whose tokens do not see each other in the attention (paper, Table 1)."""
        return replace(self, global_attention=False)


@dataclass(frozen=True)
class SegmentationHeadTable:
    """Fusion of the maps of three strides at the finest of them, residual blocks, classifier."""

    width: int
    depth: int
    expand: float
    block: Literal["mb", "fmb"]
    # expansion of a last 1x1 convolution before the classifier; None: no such convolution
    final_expand: float | None
    activation: Activation
    strides: tuple[int, ...] = (32, 16, 8)  # coarsest first


@dataclass(frozen=True)
class SegmentationTable:
    """A backbone with the segmentation head of one published training."""

    name: str
    backbone: BackboneTable
    head: SegmentationHeadTable
    classes: int

    kind: ClassVar[str] = "segmentation"  # a key of `families.FAMILIES`


@dataclass(frozen=True)
class ClassificationHeadTable:
    """1x1 convolution, mean over the image, hidden layer with LayerNorm, classifier."""

    width: int  # channels of the convolution
    hidden: int  # of the layer before the classifier
    activation: Activation


@dataclass(frozen=True)
class ClassificationTable:
    """A backbone with its ImageNet head."""

    name: str
    backbone: BackboneTable
    head: ClassificationHeadTable
    classes: int

    kind: ClassVar[str] = "classification"  # a key of `families.FAMILIES`


@dataclass(frozen=True)
class NeckTable:
    """Fusion of the maps of three strides at the finest of them, residual blocks, 1x1 convolution, LayerNorm."""

    width: int
    depth: int
    expand: float
    block: Literal["mb", "fmb"]
    activation: Activation
    strides: tuple[int, ...]  # coarsest first
    embedding: int = 256  # channels of the output


@dataclass(frozen=True)
class EfficientViTEncoderTable:
    """An image encoder of EfficientViT-SAM: a backbone and the neck that reads its maps."""

    backbone: BackboneTable
    neck: NeckTable

    kind: ClassVar[str] = "efficientvit_sam"  # of the promptable models with such an encoder


@dataclass(frozen=True)
class PromptableTable:
    """An image encoder for Segment Anything; prompt encoder and mask decoder differ in an epsilon alone."""

    name: str
    encoder: EfficientViTEncoderTable | TinyViTTable
    side_px: int  # height and width of the encoder's input
    decoder_norm_eps: float  # of the LayerNorms in the mask decoder

    @property
    def kind(self) -> str:
        """A key of `families.FAMILIES`: the encoder decides."""
        return self.encoder.kind


@dataclass(frozen=True)
class SuperResolutionHeadTable:
    """Fusion of the maps at the input's resolution, residual blocks, channels that become pixels."""

    width: int
    depth: int
    expand: float
    block: Literal["res", "mb", "fmb"]
    activation: Activation
    strides: tuple[int, ...]  # coarsest first, the last is 1


@dataclass(frozen=True)
class SuperResolutionTable:
    """A backbone that begins at the input's resolution, and the head that enlarges."""

    name: str
    backbone: BackboneTable
    head: SuperResolutionHeadTable
    scale: int  # of height and width

    kind: ClassVar[str] = "super_resolution"  # a key of `families.FAMILIES`


Architecture = SegmentationTable | ClassificationTable | PromptableTable | SuperResolutionTable
"""Everything that a model can be built from."""
