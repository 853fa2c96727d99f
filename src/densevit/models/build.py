"""Builds modules from names and tables: a backbone and what reads its maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from densevit.core.errors import UsageError
from densevit.models.backbone import Backbone
from densevit.models.heads import ClassificationHead, SegmentationHead
from densevit.models.image_encoder import ImageEncoder
from densevit.models.mask_decoder import MaskDecoder
from densevit.models.prompt_decoder import MaskPromptDecoder, PromptDecoder, ProposalDecoder
from densevit.models.prompts import PromptEncoder
from densevit.models.super_resolution import SuperResolutionHead, enlarge, start_near_bicubic
from densevit.models.tiny_vit import TinyViT
from densevit.variants import (
    FAMILIES,
    Architecture,
    ClassificationTable,
    PromptableTable,
    SegmentationTable,
    SuperResolutionTable,
    find_architecture,
    with_ablations,
)


class Network(nn.Module):
    """Any model: a module with functions, named as in its task's signatures."""

    def functions(self) -> dict[str, nn.Module]:
        """Function name -> the module that computes it from normalized tensors."""
        return {"forward": self}


def functions(network: nn.Module) -> dict[str, nn.Module]:
    """The functions of any network by name; any other module is its only function."""
    return network.functions() if isinstance(network, Network) else {"forward": network}


class DenseModel(Network):
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
        """(B, C, H, W) normalized image -> the head's answer.

        That is (B, classes, H / 8, W / 8) for segmentation and (B, classes) for classification.
        """
        out: Tensor = self.head(self.backbone(x))
        return out


class PromptableModel(Network):
    """Segment Anything: an embedding of the image, and masks from it for prompts (arXiv 2304.02643).

    Args:
        image_encoder: EfficientViT with its neck, or TinyViT.
        prompt_encoder: points, boxes and masks become tokens.
        mask_decoder: tokens and the embedding become masks.
    """

    def __init__(
        self, image_encoder: ImageEncoder | TinyViT, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoder
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder

    def functions(self) -> dict[str, nn.Module]:
        """The image encoder, and the decoding of prompts in three ways, see `densevit.tasks.promptable`."""
        # laid out as runtimes want it, which therefore do not copy it for every decoder
        positions = self.prompt_encoder.dense_positions().detach().clone(memory_format=torch.channels_last)
        return {
            "encode_image": self.image_encoder,
            "decode_masks": PromptDecoder(self.prompt_encoder, self.mask_decoder, positions),
            "refine_masks": MaskPromptDecoder(self.prompt_encoder, self.mask_decoder, positions),
            "propose_masks": ProposalDecoder(self.prompt_encoder, self.mask_decoder, positions),
        }

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) normalized image -> (B, 256, 64, 64) embedding."""
        out: Tensor = self.image_encoder(x)
        return out


class SuperResolutionModel(Network):
    """Adds a correction, which the head computes from the backbone's maps, to the bicubic enlargement.

    Args:
        backbone: gives the list of maps, the finest at the input's resolution.
        head: turns them into a correction of the enlarged image.
    """

    def __init__(self, backbone: Backbone, head: SuperResolutionHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        start_near_bicubic(self)

    def correction(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in 0..1 -> (B, C, H * scale, W * scale), the difference from bicubic enlargement."""
        # centered, so that the zeros around the convolutions' inputs are mid-gray
        out: Tensor = self.head(self.backbone(x - 0.5))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in 0..1, sides of at least 2 -> (B, C, H * scale, W * scale), not clipped."""
        return enlarge(x, self.head.scale) + self.correction(x)


def build(table: Architecture, *, classes: int | None = None, in_channels: int = 3) -> Network:
    """A model with random weights.

    Args:
        table: a row of `densevit.variants.ARCHITECTURES`.
        classes: number of classes, the table's own when None; promptable and super-resolution models have none.
        in_channels: channels of the image.

    Raises:
        UsageError: a count below 1, or classes for a model without classes.
    """
    if classes is not None and not FAMILIES[table.kind].has_classes:
        raise UsageError(f"{table.name} has no classes, got classes={classes}")
    return BUILDERS[table.kind](table, classes, in_channels)


def build_segmentation(table: SegmentationTable, classes: int | None = None, in_channels: int = 3) -> DenseModel:
    """A segmentation model with random weights; `classes` defaults to the table's own count.

    Raises:
        UsageError: a count below 1.
    """
    return _build_dense(SegmentationHead, table, classes, in_channels)


def build_classification(
    table: ClassificationTable, classes: int | None = None, in_channels: int = 3
) -> DenseModel:
    """A classifier with random weights; `classes` defaults to the table's own count.

    Raises:
        UsageError: a count below 1.
    """
    return _build_dense(ClassificationHead, table, classes, in_channels)


def _build_dense(
    head: type[SegmentationHead] | type[ClassificationHead], table: Any, classes: int | None, in_channels: int
) -> DenseModel:
    backbone = Backbone(table.backbone, in_channels=in_channels)
    classes = table.classes if classes is None else classes
    eps = table.backbone.norm_eps
    return DenseModel(backbone, head(table.head, backbone.features, classes=classes, norm_eps=eps))


def build_super_resolution(
    table: SuperResolutionTable, classes: int | None = None, in_channels: int = 3
) -> SuperResolutionModel:
    """A super-resolution model with random weights, which enlarges bicubically until it is trained."""
    backbone = Backbone(table.backbone, in_channels=in_channels)
    head = SuperResolutionHead(
        table.head,
        backbone.features,
        scale=table.scale,
        channels=in_channels,
        norm_eps=table.backbone.norm_eps,
        norm=table.backbone.norm,
    )
    return SuperResolutionModel(backbone, head)


def build_efficientvit_sam(
    table: PromptableTable, classes: int | None = None, in_channels: int = 3
) -> PromptableModel:
    """A Segment Anything model with EfficientViT's encoder and random weights."""
    encoder: Any = table.encoder
    return _add_prompts(ImageEncoder(encoder, in_channels=in_channels), table)


def build_tiny_vit_sam(
    table: PromptableTable, classes: int | None = None, in_channels: int = 3
) -> PromptableModel:
    """A Segment Anything model with TinyViT's encoder and random weights."""
    encoder: Any = table.encoder
    return _add_prompts(TinyViT(encoder, in_channels=in_channels), table)


def _add_prompts(image_encoder: ImageEncoder | TinyViT, table: PromptableTable) -> PromptableModel:
    return PromptableModel(image_encoder, PromptEncoder(), MaskDecoder(norm_eps=table.decoder_norm_eps))


BUILDERS: dict[str, Callable[[Any, int | None, int], Network]] = {
    "segmentation": build_segmentation,
    "classification": build_classification,
    "super_resolution": build_super_resolution,
    "efficientvit_sam": build_efficientvit_sam,
    "tiny_vit_sam": build_tiny_vit_sam,
}
"""A key of `variants.FAMILIES` -> builds its networks with random weights."""


def create_model(
    name: str,
    *,
    classes: int | None = None,
    in_channels: int = 3,
    multi_scale: bool = True,
    global_attention: bool = True,
) -> Network:
    """A plain `nn.Module` with random weights.

    Args:
        name: an architecture, such as "seg-b1" (Cityscapes head), "seg-b1-ade20k", "cls-b1" or "sam-l0".
        classes: number of classes; the published one when None.
        in_channels: channels of the input image.
        multi_scale: False removes the aggregated branches of the attention.
        global_attention: False removes the mixing of tokens.

    Raises:
        UsageError: unknown architecture, a count below 1, or something switched off that the network lacks.
    """
    table = with_ablations(find_architecture(name), multi_scale=multi_scale, global_attention=global_attention)
    return build(table, classes=classes, in_channels=in_channels)
