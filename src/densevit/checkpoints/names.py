"""Foreign weights enter here: the names of our tensors in official checkpoints and in timm's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from densevit.variants import Architecture, ClassificationTable, PromptableTable, SegmentationTable

_TINY_VIT_STEM = "image_encoder.patch_embed.seq.0.c.weight"
Convention = Literal["own", "official", "timm"]
"""The naming of a checkpoint's tensors."""


@dataclass(frozen=True)
class NameMap:
    """What other people call the tensors of a family.

    Attributes:
        official: (our name, table) -> the key in an official checkpoint.
        timm: (our name, table) -> the key in a timm checkpoint; None where timm has no such models.
        unused: beginnings of the keys of official checkpoints that belong to no tensor of the network.
    """

    official: Callable[[str, Any], str]
    timm: Callable[[str, Any], str] | None = None
    unused: tuple[str, ...] = ()


def official_name(name: str, table: Architecture) -> str:
    """The key in an official checkpoint of the tensor that is called `name` here."""
    return NAME_MAPS[table.kind].official(name, table)


def timm_name(name: str, table: Architecture) -> str:
    """The key in a timm checkpoint (`efficientvit_b0` and so on) of the tensor that is called `name` here.

    timm has classifiers only, so that other architectures' names stay as they are.
    """
    rename = NAME_MAPS[table.kind].timm
    return name if rename is None else rename(name, table)


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
    unused = NAME_MAPS[table.kind].unused
    state = {key: tensor for key, tensor in state.items() if not key.startswith(unused)}
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


def _official_segmentation(name: str, table: SegmentationTable) -> str:
    if name.startswith("backbone."):
        return _official_backbone(name, table.backbone.family)
    # the finest map is not upsampled, so the official list around its convolution does not exist
    name = re.sub(r"^head\.fusion\.laterals\.2\.", "head.input_ops.2.", name)
    return _official_fusion(name, "head")


def _official_classification(name: str, table: ClassificationTable) -> str:
    if name.startswith("backbone."):
        return _official_backbone(name, table.backbone.family)
    return _rename(name, _OFFICIAL_CLASSIFICATION_HEAD)


def _timm_classification(name: str, table: ClassificationTable) -> str:
    """timm numbers the backbone's stages from 0 behind the stem."""
    if name.startswith("head."):
        return _rename(name, _TIMM_HEAD)
    name = _official_backbone(name, table.backbone.family).removeprefix("backbone.")
    first = 0 if table.backbone.family == "b" else 1
    stem = "input_stem" if table.backbone.family == "b" else "stages.0"
    stage, index, rest = re.fullmatch(r"(input_stem|stages\.\d+)\.op_list\.(\d+)\.(.+)", name).groups()  # type: ignore[union-attr]
    if stage == stem:
        return f"stem.in_conv.{rest}" if index == "0" else f"stem.res{int(index) - 1}.{rest}"
    return f"stages.{int(stage.removeprefix('stages.')) - first}.blocks.{index}.{rest}"


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


def _official_efficientvit_sam(name: str, table: PromptableTable) -> str:
    if name.startswith("image_encoder.backbone."):
        encoder: Any = table.encoder
        family = encoder.backbone.family
        return "image_encoder." + _official_backbone(name.removeprefix("image_encoder."), family)
    name = name.replace("image_encoder.neck.output.", "image_encoder.neck.output.0.")
    return _official_fusion(name, "image_encoder.neck")


def _official_tiny_vit_sam(name: str, table: PromptableTable) -> str:
    """MobileSAM's names, which differ from ours inside a convolution with its norm alone."""
    if not name.startswith("image_encoder."):
        return name
    name = name.replace(".conv.", ".c.")
    return re.sub(r"\.(seq\.\d+|conv\d|local_conv)\.norm\.", r".\1.bn.", name)


NAME_MAPS: dict[str, NameMap] = {
    "segmentation": NameMap(_official_segmentation),
    "classification": NameMap(_official_classification, _timm_classification),
    # nobody else has published one
    "super_resolution": NameMap(lambda name, table: name),
    "efficientvit_sam": NameMap(_official_efficientvit_sam),
    # the classifier that the encoder was pretrained with is in MobileSAM's file
    "tiny_vit_sam": NameMap(_official_tiny_vit_sam, unused=("image_encoder.norm_head.", "image_encoder.head.")),
}
"""A key of `variants.FAMILIES` -> the names of its tensors elsewhere."""
