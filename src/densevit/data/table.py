"""Data sets by the KIND of `--data KIND:PATH`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from densevit.core.classes import read_imagenet_wnids
from densevit.core.errors import UsageError
from densevit.data.ade20k import ADE20K
from densevit.data.base import (
    AnyData,
    ClassificationData,
    HighResolutionData,
    PromptableData,
    SegmentationData,
)
from densevit.data.camvid import CamVid
from densevit.data.cityscapes import Cityscapes
from densevit.data.coco import Coco, Lvis
from densevit.data.folder import FolderData
from densevit.data.high_resolution import open_high_resolution
from densevit.data.imagenet import ImageNetFolder
from densevit.data.loveda import LoveDA
from densevit.data.potsdam import Potsdam
from densevit.data.sa1b import SA1B
from densevit.data.tiled import Tiled
from densevit.data.vaihingen import Vaihingen

TILE_PX = 512
"""Side of the adjacent tiles of Potsdam and Vaihingen, as is usual: 144 tiles per Potsdam image.

MMSegmentation's converters name a stride of 256, but place tiles at multiples of 512: 3456 tiles from Potsdam's 24
training images, 344 from Vaihingen's 16. They count the overlap with the last, shifted tile twice, densevit once.
"""

SEGMENTATION_DATA: dict[str, Callable[[Path, str], SegmentationData]] = {
    "camvid": CamVid,
    "cityscapes": Cityscapes,
    "ade20k": ADE20K,
    "folder": FolderData,
    "loveda": LoveDA,
    "potsdam": lambda root, split: Tiled(Potsdam(root, split), TILE_PX, TILE_PX),
    "vaihingen": lambda root, split: Tiled(Vaihingen(root, split), TILE_PX, TILE_PX),
}
"""Kind -> (folder, split) -> data set."""

CLASSIFICATION_DATA: dict[str, Callable[[Path, str], ClassificationData]] = {
    "imagenet": lambda root, split: ImageNetFolder(root, split, wnids=read_imagenet_wnids())
}
"""The same for images with one class each."""

SUPER_RESOLUTION_DATA: dict[str, Callable[[Path, str], HighResolutionData]] = {"sr": open_high_resolution}
"""The same for high-resolution images."""

PROMPTABLE_DATA: dict[str, Callable[[Path, str], PromptableData]] = {"coco": Coco, "lvis": Lvis, "sa1b": SA1B}
"""The same for images with outlined objects."""

DATA: Mapping[str, Callable[[Path, str], AnyData]] = {
    **SEGMENTATION_DATA,
    **CLASSIFICATION_DATA,
    **SUPER_RESOLUTION_DATA,
    **PROMPTABLE_DATA,
}
"""All kinds of data."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "segmentation": tuple(SEGMENTATION_DATA),
    "classification": tuple(CLASSIFICATION_DATA),
    "super_resolution": tuple(SUPER_RESOLUTION_DATA),
    "promptable": tuple(PROMPTABLE_DATA),
}
"""Task -> the kinds of data that it can be evaluated on."""


def parse_kind(text: str) -> str:
    """Returns KIND of `KIND:PATH`.

    Raises:
        UsageError: the text has another form, or the kind is unknown.
    """
    kind, separator, path = text.partition(":")
    if not separator or not path:
        raise UsageError(f"{text}: data must be KIND:PATH, such as camvid:data/camvid")
    if kind not in DATA:
        raise UsageError(f"{text}: unknown kind {kind!r}; known: {', '.join(DATA)}")
    return kind


def open_data(text: str, split: str) -> AnyData:
    """Opens the data set that `KIND:PATH` names.

    Raises:
        UsageError: the text has another form, or the kind is unknown.
        DataError: the folder does not have the layout of this kind.
    """
    kind = parse_kind(text)
    return DATA[kind](Path(text.removeprefix(f"{kind}:")), split)
