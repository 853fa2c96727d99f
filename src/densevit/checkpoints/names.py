"""Foreign weights enter here: the names of our tensors in official checkpoints and in timm's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from torch import Tensor

from densevit.variants import (
    Architecture,
    ClassificationTable,
    PromptableTable,
    SegmentationTable,
    SuperResolutionTable,
    TinyViTTable,
)

_TINY_VIT_STEM = "image_encoder.patch_embed.seq.0.c.weight"
_UNUSED = ("image_encoder.norm_head.", "image_encoder.head.")
"""In MobileSAM's file, but not in its network: the classifier that the encoder was pretrained with."""

Convention = Literal["own", "official", "timm"]
"""The naming of a checkpoint's tensors."""


def official_name(name: str, table: Architecture) -> str:
    """The key in an official checkpoint of the tensor that is called `name` here."""
    if isinstance(table, SuperResolutionTable):
        return name  # nobody else has published one
    if isinstance(table, PromptableTable):
        if isinstance(table.encoder, TinyViTTable):
            return _official_tiny_vit(name)
        return _official_promptable(name, table.encoder.backbone.family)
    if name.startswith("backbone."):
        return _official_backbone(name, table.backbone.family)
    if isinstance(table, SegmentationTable):
        return _official_segmentation_head(name)
    return _rename(name, _OFFICIAL_CLASSIFICATION_HEAD)


def timm_name(name: str, table: Architecture) -> str:
    """The key in a timm checkpoint (`efficientvit_b0` and so on) of the tensor that is called `name` here.

    timm has classifiers only, so that other architectures' names stay as they are; it numbers the backbone's
    stages from 0 behind the stem.
    """
    if not isinstance(table, ClassificationTable):
        return name
    if name.startswith("head."):
        return _rename(name, _TIMM_HEAD)
    name = _official_backbone(name, table.backbone.family).removeprefix("backbone.")
    first = 0 if table.backbone.family == "b" else 1
    stem = "input_stem" if table.backbone.family == "b" else "stages.0"
    stage, index, rest = re.fullmatch(r"(input_stem|stages\.\d+)\.op_list\.(\d+)\.(.+)", name).groups()  # type: ignore[union-attr]
    if stage == stem:
        return f"stem.in_conv.{rest}" if index == "0" else f"stem.res{int(index) - 1}.{rest}"
    return f"stages.{int(stage.removeprefix('stages.')) - first}.blocks.{index}.{rest}"


def detect_convention(keys: Iterable[str]) -> Convention:
    """The naming of these keys; "own" unless they are clearly official or timm's."""
    keys = list(keys)
    if any(".op_list." in key or key == _TINY_VIT_STEM for key in keys):
        return "official"
    return "timm" if any(key.startswith("stem.in_conv.") for key in keys) else "own"


def strip_wrapper(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Removes the prefix of a model that was saved inside PyTorch's wrapper for several devices."""
    prefix = "module."
    if not state or not all(name.startswith(prefix) for name in state):
        return state
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def to_own_names(state: Mapping[str, Tensor], names: Iterable[str], table: Architecture) -> dict[str, Tensor]:
    """Tensors of any convention under our names; unknown ones keep theirs, for `load_state` to report.

    Args:
        state: tensors by the names of a file.
        names: of the model's tensors.
        table: the model's architecture.
    """
    match detect_convention(state):
        case "official":
            ours = {official_name(name, table): name for name in names}
        case "timm":
            ours = {timm_name(name, table): name for name in names}
        case "own":
            return dict(state)
    if isinstance(table, PromptableTable) and isinstance(table.encoder, TinyViTTable):
        state = {key: tensor for key, tensor in state.items() if not key.startswith(_UNUSED)}
    return {ours.get(key, key): tensor for key, tensor in state.items()}


def _official_backbone(name: str, family: str) -> str:
    stage, rest = re.fullmatch(r"backbone\.stages\.(\d+)\.(.+)", name).groups()  # type: ignore[union-attr]
    prefix = f"backbone.stages.{stage}"
    if family == "b":
        prefix = "backbone.input_stem" if stage == "0" else f"backbone.stages.{int(stage) - 1}"
    index, rest = rest.split(".", 1)
    rest = rest.replace("context.", "context_module.main.").replace("local.", "local_module.main.")
    rest = rest.replace("aggregation.", "aggreg.")
    stem = stage == "0" and index == "0"
    within = "" if stem or rest.startswith(("context_module", "local_module")) else "main."
    return f"{prefix}.op_list.{index}.{within}{rest}"


def _official_segmentation_head(name: str) -> str:
    # the finest map is not upsampled, so the official list around its convolution does not exist
    name = re.sub(r"^head\.fusion\.laterals\.2\.", "head.input_ops.2.", name)
    return _official_fusion(name, "head")


def _official_fusion(name: str, prefix: str) -> str:
    """Fusion, residual blocks and output, which a segmentation head and a neck have alike."""
    name = re.sub(rf"^{prefix}\.fusion\.laterals\.(\d+)\.", rf"{prefix}.input_ops.\1.op_list.0.", name)
    name = re.sub(rf"^{prefix}\.middle\.(\d+)\.", rf"{prefix}.middle.op_list.\1.main.", name)
    return re.sub(rf"^{prefix}\.output\.(\d+)\.", rf"{prefix}.output_ops.0.op_list.\1.", name)


_OFFICIAL_CLASSIFICATION_HEAD = (
    (r"head\.conv\.", "head.op_list.0."),
    (r"head\.hidden\.", "head.op_list.2.linear."),
    (r"head\.norm\.", "head.op_list.2.norm."),
    (r"head\.classifier\.", "head.op_list.3.linear."),
)
_TIMM_HEAD = (
    (r"head\.classifier\.", "head.classifier.4."),
    (r"head\.hidden\.", "head.classifier.0."),
    (r"head\.norm\.", "head.classifier.1."),
    (r"head\.conv\.", "head.in_conv."),
)


def _rename(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Applies the first rule that matches, and no other."""
    for ours, theirs in rules:
        renamed, count = re.subn(f"^{ours}", theirs, name)
        if count:
            return renamed
    return name


def _official_promptable(name: str, family: str) -> str:
    if name.startswith("image_encoder.backbone."):
        return "image_encoder." + _official_backbone(name.removeprefix("image_encoder."), family)
    name = name.replace("image_encoder.neck.output.", "image_encoder.neck.output.0.")
    return _official_fusion(name, "image_encoder.neck")


def _official_tiny_vit(name: str) -> str:
    """MobileSAM's names, which differ from ours inside a convolution with its norm alone."""
    if not name.startswith("image_encoder."):
        return name
    name = name.replace(".conv.", ".c.")
    return re.sub(r"\.(seq\.\d+|conv\d|local_conv)\.norm\.", r".\1.bn.", name)
