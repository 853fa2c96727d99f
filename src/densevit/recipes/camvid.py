"""EfficientViT-B0 on CamVid, from random weights.

    densevit train camvid --data DIR --out RUN --steps 9000 --teacher efficientvit_seg_b0_cityscapes.pt

DIR holds `train/`, `trainannot/`, `val/` and `valannot/`. Images are upscaled by two (short side 720), because a
network with output stride 8 would miss poles and signs at the native size. The teacher, an official Cityscapes
checkpoint, is optional: its probabilities on the training images train a second classifier, which is dropped
afterwards.

Two cores with bf16 (AMD EPYC): 0.5 s per step, an hour and a half on an idle machine; 72.4 % mIoU on val at
short:720 and 69.3 % at native size. `unlabeled` and `start` continue a training with unlabeled images;
`assets/seg-b0-camvid.md` says when that helps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import nn

from densevit.checkpoints.loading import load_network
from densevit.checkpoints.state import save_own
from densevit.core.classes import read_class_table
from densevit.core.errors import UsageError
from densevit.core.manifest import IMAGENET_MEAN, IMAGENET_STD, Manifest
from densevit.data.base import SegmentationData
from densevit.data.camvid import CamVid
from densevit.data.checking import check_samples
from densevit.data.unlabeled import ConcatenatedData, UnlabeledData
from densevit.evaluate import evaluate_segmentation
from densevit.models.build import build
from densevit.runtimes.eager import EagerRuntime
from densevit.tasks.segmentation import make_segmentation_task
from densevit.train.batches import Batches
from densevit.train.distributed import training_device
from densevit.train.loop import Training
from densevit.train.losses import compute_class_weights
from densevit.train.options import Options
from densevit.train.segmentation import (
    Augmentation,
    Normalize,
    Samples,
    SegmentationLoss,
    SegmentationTrainee,
)
from densevit.train.teacher import SegmentationTeacher
from densevit.variants import SEGMENTATION
from densevit.zoo import find_model

CAMVID_OF_CITYSCAPES = (3, 4, 1, 1, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10)
"""CamVid's class for each Cityscapes class; for example wall -> building, terrain -> tree, rider -> bicyclist."""


@dataclass(frozen=True)
class CamVidOptions(Options):
    """Options of the loop and of this recipe."""

    steps: int = 12_000
    architecture: Annotated[str, "A key of variants.SEGMENTATION."] = "seg-b0"
    crop: Annotated[tuple[int, int], "(height, width) in pixels of the network's input."] = (384, 512)
    scale: Annotated[tuple[float, float], "Range of the random resize factor, on top of `enlargement`."] = (
        0.5,
        2.0,
    )
    enlargement: Annotated[float, "Resize factor of the images (360 x 480) in training and validation."] = 2.0
    color: Annotated[float, "Largest relative change of brightness, contrast, saturation, gamma."] = 0.4
    loss: Annotated[
        Literal["cross_entropy", "hard_pixels"], "Of all pixels, or of those that the network finds hard."
    ] = "cross_entropy"
    class_weights: Annotated[bool, "1 / log(1.1 + share)."] = True
    dice: Annotated[float, "Weight of the soft Dice term."] = 0.5
    teacher: Annotated[str, 'Official Cityscapes checkpoint, "" without.'] = ""
    distillation: Annotated[float, "Weight of the divergence from the teacher."] = 1.0
    unlabeled: Annotated[
        str, 'Folder of unlabeled images, on which the teacher trains the classifier itself; "" without.'
    ] = ""
    start: Annotated[str, "Initial weights in densevit's .safetensors format; random ones without."] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in SEGMENTATION:
            known = ", ".join(SEGMENTATION)
            raise UsageError(f"architecture must be one of {known}, got {self.architecture!r}")
        if not 0.25 <= self.enlargement <= 8:
            raise UsageError(f"enlargement must be in [0.25, 8], got {self.enlargement}")
        if self.unlabeled and not self.teacher:
            raise UsageError("unlabeled images need a teacher: --teacher FILE, an official Cityscapes checkpoint")
        if self.dice < 0 or self.distillation < 0:
            raise UsageError("dice and distillation are weights and must not be negative")


def recipe(data: Path, options: CamVidOptions) -> Training:
    """Builds the training; `data` is CamVid's folder."""
    low, high = options.scale
    augmentation = Augmentation(
        crop=options.crop,
        scale=(low * options.enlargement, high * options.enlargement),
        color=options.color,
        target_stride=2,
    )
    torch.manual_seed(options.seed)
    device = training_device(options.device)
    classes = len(read_class_table("camvid").names)
    normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD).to(device)
    teacher = _load_teacher(Path(options.teacher), normalize) if options.teacher else None
    train: SegmentationData = CamVid(data, "train")
    val = CamVid(data, "val")
    for split in (train, val):
        check_samples(split)
    if options.unlabeled:
        train = ConcatenatedData(train, UnlabeledData(Path(options.unlabeled), train))
    samples = Samples(train, device, teacher=teacher)
    network = build(SEGMENTATION[options.architecture], classes=classes)
    if options.start:
        network = load_network(Path(options.start), _make_manifest(options))[0].requires_grad_(True)
    trainee = SegmentationTrainee(network, normalize, teacher_classes=teacher.classes if teacher else 0)
    weight = compute_class_weights(samples.count_classes(classes)).to(device) if options.class_weights else None
    return Training(
        model=trainee.to(device).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        batches=Batches(len(samples), lambda indices, generator: samples.batch(indices, generator, augmentation)),
        loss=SegmentationLoss(options.loss, weight, options.dice, options.distillation, CAMVID_OF_CITYSCAPES),
        validate=_Validation(val, _make_manifest(options), str(device)),
        metric="miou",
        save=lambda averaged, path, scores: _save(averaged, path, _make_manifest(options), scores),
        options=options,
    )


def _load_teacher(path: Path, normalize: Normalize) -> SegmentationTeacher:
    network, manifest = load_network(path, find_model("seg-b0-cityscapes").manifest())
    network = network.to(normalize.mean.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return SegmentationTeacher(network, normalize, classes=len(manifest.class_names), scales=(2.0, 1.5, 2.5))


def _make_manifest(options: CamVidOptions) -> Manifest:
    table = read_class_table("camvid")
    return Manifest(
        name=f"{options.architecture}-camvid",
        task="segmentation",
        architecture=options.architecture,
        class_names=table.names,
        palette=table.colors,
        size=f"short:{round(360 * options.enlargement)}",
        published_size="native",
        licence="Apache-2.0",
    )


class _Validation:
    """mIoU of the averaged weights on the val split, computed as `densevit eval` does."""

    def __init__(self, data: CamVid, manifest: Manifest, device: str) -> None:
        self.data = data
        self.manifest = manifest
        self.device = device

    def __call__(self, averaged: nn.Module) -> dict[str, float]:
        assert isinstance(averaged, SegmentationTrainee)
        runtime = EagerRuntime(averaged.network, self.manifest, device=self.device)
        task = make_segmentation_task(self.manifest)
        names = self.manifest.class_names
        metrics = evaluate_segmentation(task, runtime, self.data, class_names=names).metrics
        per_class = {f"iou/{name}": value for name, value in metrics["iou_per_class"].items() if value is not None}
        return {"miou": metrics["miou"], "pixel_accuracy": metrics["pixel_accuracy"], **per_class}


def _save(averaged: nn.Module, path: Path, manifest: Manifest, scores: dict[str, float]) -> None:
    assert isinstance(averaged, SegmentationTrainee)
    metrics = {f"camvid/val/{name}": round(scores[name], 2) for name in ("miou", "pixel_accuracy")}
    save_own(averaged.network, path, replace(manifest, metrics=metrics))
