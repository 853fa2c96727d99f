"""The one table of models: name -> architecture, task, weights, sizes, published figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from densevit.core.classes import ClassTable, read_class_table
from densevit.core.errors import UsageError
from densevit.core.manifest import IMAGENET_MEAN, IMAGENET_STD, Manifest, super_resolution_manifest
from densevit.variants import Cost, count, find_architecture
from densevit.weights import ASSETS, HubFile, is_cached

_SEGMENTATION_FILES = "han-cai/efficientvit-seg"
_CLASSIFICATION_FILES = "han-cai/efficientvit-cls"
_PROMPTABLE_FILES = "mit-han-lab/efficientvit-sam"
_MOBILE_SAM_FILES = "dhkim2810/MobileSAM"

# Segment Anything's, for channels in 0..1
_SAM_MEAN = (123.675 / 255, 116.28 / 255, 103.53 / 255)
_SAM_STD = (58.395 / 255, 57.12 / 255, 57.375 / 255)


class UnknownModelError(UsageError):
    """No model has that name; the message lists all of them."""


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        name: as given to `densevit.load`.
        task: what the model does.
        architecture: key of the variant table.
        data_set: the data set whose classes the model knows; "" for models without classes.
        size: default size policy.
        published_size: the paper's evaluation.
        resolution: (height, width) at which MACs are counted.
        hub: place of the published weights, None for bundled models.
        published: figures of the paper or the official repository; in percent, PSNR in dB, SSIM in 0..1.
        licence: of the weights.
        crop_ratio: share of the resized shorter side that a center crop keeps.
    """

    name: str
    task: Literal["segmentation", "classification", "promptable", "super_resolution"]
    architecture: str
    data_set: str
    size: str
    published_size: str
    resolution: tuple[int, int]
    hub: HubFile | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    licence: str = "Apache-2.0"
    crop_ratio: float = 1.0

    @property
    def graph(self) -> Path | None:
        """The bundled graph file, if any."""
        path = ASSETS / f"{self.name}.onnx"
        return path if self.hub is None and path.is_file() else None

    @property
    def tensors(self) -> Path | None:
        """The bundled weights file, if any."""
        path = ASSETS / f"{self.name}.safetensors"
        return path if self.hub is None and path.is_file() else None

    @property
    def weights(self) -> Literal["bundled", "cached", "hub", "none"]:
        """Where the weights are."""
        if self.graph is not None:
            return "bundled"
        if self.hub is None:
            return "none"
        return "cached" if is_cached(self.hub) else "hub"

    @property
    def classes(self) -> ClassTable:
        """Names and colors of the classes; empty for models without classes."""
        return read_class_table(self.data_set) if self.data_set else ClassTable((), ())

    @property
    def cost(self) -> Cost:
        """Learnable parameters, and MACs at `resolution`."""
        return count(find_architecture(self.architecture), self.resolution, classes=len(self.classes.names))

    def manifest(self) -> Manifest:
        """The manifest of foreign weights that are loaded under this name."""
        table = self.classes
        promptable = self.task == "promptable"
        if self.task == "super_resolution":
            return super_resolution_manifest(self.name, self.architecture, self.licence)
        return Manifest(
            name=self.name,
            task=self.task,
            architecture=self.architecture,
            class_names=table.names,
            palette=table.colors,
            mean=_SAM_MEAN if promptable else IMAGENET_MEAN,
            std=_SAM_STD if promptable else IMAGENET_STD,
            size=self.size,
            published_size=self.published_size,
            resize="pil_bicubic" if self.task == "classification" else "pil_bilinear",
            crop_ratio=self.crop_ratio,
            # an image encoder of Segment Anything takes one size
            multiple=self.resolution[0] if promptable else 32,
            licence=self.licence,
        )


def _segmentation() -> Iterator[Entry]:
    yield Entry("seg-b0-camvid", "segmentation", "seg-b0", "camvid", "short:720", "native", resolution=(720, 960))
    cityscapes = {"b0": 75.653, "b1": 80.547, "b2": 82.073, "b3": 83.016, "l1": 82.716, "l2": 83.228}
    for variant, miou in cityscapes.items():
        yield Entry(
            f"seg-{variant}-cityscapes",
            "segmentation",
            f"seg-{variant}",
            "cityscapes",
            "short:1024",
            "exact:1024x2048",
            (1024, 2048),
            HubFile(_SEGMENTATION_FILES, f"efficientvit_seg_{variant}_cityscapes.pt"),
            {"miou": miou},
        )
    ade20k = {"b1": 42.840, "b2": 45.941, "b3": 49.013, "l1": 49.191, "l2": 50.702}
    for variant, miou in ade20k.items():
        yield Entry(
            f"seg-{variant}-ade20k",
            "segmentation",
            f"seg-{variant}-ade20k",
            "ade20k",
            "short:512",
            "short:512/32",
            (512, 512),
            HubFile(_SEGMENTATION_FILES, f"efficientvit_seg_{variant}_ade20k.pt"),
            {"miou": miou},
        )


# variant -> side in pixels -> (top-1, top-5); B0's were never published
_IMAGENET: dict[str, dict[int, tuple[float, float] | None]] = {
    "b0": {224: None},
    "b1": {224: (79.390, 94.346), 256: (79.918, 94.704), 288: (80.410, 94.984)},
    "b2": {224: (82.100, 95.782), 256: (82.698, 96.096), 288: (83.086, 96.302)},
    "b3": {224: (83.468, 96.356), 256: (83.806, 96.514), 288: (84.150, 96.732)},
    "l1": {224: (84.484, 96.862)},
    "l2": {
        224: (85.050, 97.090),
        256: (85.366, 97.216),
        288: (85.630, 97.364),
        320: (85.734, 97.438),
        384: (85.978, 97.518),
    },
    "l3": {
        224: (85.814, 97.198),
        256: (85.938, 97.318),
        288: (86.070, 97.440),
        320: (86.230, 97.474),
        384: (86.408, 97.632),
    },
}


def _classification() -> Iterator[Entry]:
    for variant, rows in _IMAGENET.items():
        for side, scores in rows.items():
            yield Entry(
                f"cls-{variant}-r{side}",
                "classification",
                f"cls-{variant}",
                "imagenet",
                f"exact:{side}x{side}",
                f"exact:{side}x{side}",
                (side, side),
                HubFile(_CLASSIFICATION_FILES, f"efficientvit_{variant}_r{side}.pt"),
                dict(zip(("top1", "top5"), scores, strict=True)) if scores else {},
                # the official evaluation has no command for B0, which is taken to be like B1
                crop_ratio=0.95 if variant in ("b0", "b1") else 1.0,
            )


# variant -> (side in pixels, COCO mask AP, LVIS mask AP with ViTDet's boxes, SHA-256 of the file where it is known
# from more than a copy's page)
_SEGMENT_ANYTHING = {
    "l0": (512, 45.7, 41.8, "c4f994b01a16d48bcf2fbbb089448cfbf58fae5811edfa8113c953b8b8cc64b8"),
    "l1": (512, 46.2, 42.1, ""),
    "l2": (512, 46.6, 42.7, ""),
    "xl0": (1024, 47.5, 43.9, ""),
    "xl1": (1024, 47.8, 44.4, ""),
}
# EfficientViT (arXiv 2205.14756), Table 6: IoU on COCO val2017, the true boxes being the prompts
_IOU_OF_BOXES = {
    "sam-l0": (74.5, 81.4, 77.2, 68.2),
    "sam-l1": (75.2, 81.8, 78.1, 68.9),
    "mobile-sam": (72.8, 80.4, 75.9, 65.8),
}


def _promptable() -> Iterator[Entry]:
    for variant, (side, coco, lvis, sha256) in _SEGMENT_ANYTHING.items():
        file = HubFile(_PROMPTABLE_FILES, f"efficientvit_sam_{variant}.pt", sha256)
        published = {"coco_ap": coco, "lvis_ap": lvis}
        yield _segment_anything(f"sam-{variant}", side, file, published)
    # no weights yet
    yield _segment_anything("sam-b1", 512, None, {})
    sha256 = "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"
    yield _segment_anything("mobile-sam", 1024, HubFile(_MOBILE_SAM_FILES, "mobile_sam.pt", sha256), {})


def _segment_anything(name: str, side: int, file: HubFile | None, published: dict[str, float]) -> Entry:
    if name in _IOU_OF_BOXES:
        figures = ("iou", "iou_large", "iou_medium", "iou_small")
        published = published | dict(zip(figures, _IOU_OF_BOXES[name], strict=True))
    size = f"long:{side}"
    return Entry(name, "promptable", name, "", size, size, (side, side), file, published)


def _super_resolution() -> Iterator[Entry]:
    # the paper's own figures on BSD100 (Table 5); it released no weights
    for name, psnr, ssim in (("sr-x2", 32.33, 0.9019), ("sr-x2-w0.75", 32.31, 0.9016)):
        published = {"psnr_y": psnr, "ssim_y": ssim}
        yield Entry(
            name, "super_resolution", name, "", "native", "native", resolution=(160, 240), published=published
        )


ZOO: dict[str, Entry] = {
    entry.name: entry for entry in (*_segmentation(), *_classification(), *_promptable(), *_super_resolution())
}
"""Every model by name."""


def find_model(name: str) -> Entry:
    """The row of that name.

    The official names are accepted too: `efficientvit-seg-b0-cityscapes`, `efficientvit-b1-r224` (also with
    `-cls-`), `efficientvit-sam-l0`; and those of timm: `efficientvit_b1.r224_in1k`.

    Raises:
        UnknownModelError: no such model.
    """
    own = name.lower().replace("_", "-")
    if own not in ZOO:
        own = own.replace(".", "-")
    if own not in ZOO and own.startswith("efficientvit-"):
        own = own.removeprefix("efficientvit-").removesuffix("-in1k")
        own = own if own in ZOO else f"cls-{own}"
    if own not in ZOO:
        raise UnknownModelError(f"unknown model {name!r}; known: {', '.join(ZOO)}")
    return ZOO[own]


def parse_resolutions(stem: str) -> list[int]:
    """The resolutions that a file's name tells, as in `efficientvit_b1_r224` or `efficientvit_b1.r224_in1k`."""
    return [int(side) for side in re.findall(r"(?<![a-z0-9])r(\d{3})(?!\d)", stem)]


def find_published(architecture: str, classes: int) -> list[Entry]:
    """The published models of that architecture with that number of classes; 0 for models without classes."""
    return [
        entry
        for entry in ZOO.values()
        if entry.hub and entry.architecture == architecture and len(entry.classes.names) == classes
    ]
