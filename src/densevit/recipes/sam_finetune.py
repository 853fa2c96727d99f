"""End-to-end training of a promptable model on masks of objects: EfficientViT-SAM's second stage.

    densevit train sam_finetune --data DIR --out RUN --start efficientvit_sam_l0.pt

DIR has the layout of COCO, or with `--kind lvis` or `kind=sa1b` that of LVIS or SA-1B, with the splits "train"
and "val"; for SA-1B these are sub-folders `train/` and `val/`. `start` is the weights file of a promptable model:
an official one, or the result of the recipe sam_distill (with `--architecture sam-b1`, its default).

As in the released training (arXiv 2402.05008; github.com/mit-han-lab/efficientvit): random prompts, boxes or
points, one mask or three; AdamW without warm-up; learning rate 8e-7 (4e-7 for the XL models) per rank with 4
images; for more ranks multiply both by their number. It ran for two epochs of SA-1B. Unlike the released training,
this one also trains the predicted IoU, and keeps averaged weights.

The backward pass needs about 70 MB per prompt in fp32, and there are up to `batch` times `masks` prompts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import nn

from densevit.checkpoints.opening import open_network
from densevit.checkpoints.state import save_own
from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest
from densevit.data.base import DataError, PromptableData
from densevit.data.checking import check_samples
from densevit.data.table import PROMPTABLE_DATA
from densevit.models.build import PromptableModel, build
from densevit.tasks.promptable import make_promptable_task
from densevit.train.batches import Batches
from densevit.train.distributed import training_device
from densevit.train.loop import Training
from densevit.train.mask_losses import MaskLoss
from densevit.train.mask_scores import BoxScores
from densevit.train.options import Options
from densevit.train.promptable import PromptedImages, Prompting, PromptTraining
from densevit.variants import PROMPTABLE
from densevit.zoo import find_model


@dataclass(frozen=True)
class FinetuneOptions(Options):
    """Options of the loop and of this recipe."""

    steps: int = 20_000
    batch: int = 4
    learning_rate: float = 8e-7
    weight_decay: float = 0.1
    warmup_steps: int = 0
    clip_norm: float = 2.0
    ema_decay: float = 0.999
    kind: Annotated[Literal["coco", "sa1b", "lvis"], "Kind of the data."] = "coco"
    architecture: Annotated[str, "A key of variants.PROMPTABLE."] = "sam-l0"
    start: Annotated[
        str, "Weights file of this architecture, official or densevit's; required unless `scratch`."
    ] = ""
    scratch: Annotated[bool, "Start from random weights instead."] = False
    trained: Annotated[Literal["all", "encoder", "decoder"], "Decoder: everything except the image encoder."] = (
        "all"
    )
    masks: Annotated[int, "Largest number of objects per image."] = 64
    boxes: Annotated[float, "Share of images with box prompts, the others get points."] = 0.5
    points: Annotated[int, "Largest number of points per object."] = 10
    multimask: Annotated[float, "Share of steps that train the three masks for ambiguous prompts."] = 0.5
    flip: Annotated[bool, "Mirror an image with probability 0.5."] = True
    val_images: Annotated[int, "Number of images to validate on, 0 for all."] = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in PROMPTABLE:
            known = ", ".join(PROMPTABLE)
            raise UsageError(f"architecture must be one of {known}, got {self.architecture!r}")
        if self.val_images < 0:
            raise UsageError(f"val_images must not be negative, got {self.val_images}")
        self.make_prompting()

    def make_prompting(self) -> Prompting:
        """How prompts are drawn; checks these options.

        Raises:
            UsageError: an option is out of range.
        """
        return Prompting(self.masks, self.boxes, self.points, self.multimask, self.flip)


def recipe(data: Path, options: FinetuneOptions) -> Training:
    """Builds the training; `data` holds the splits "train" and "val"."""
    torch.manual_seed(options.seed)
    device = training_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    network, manifest = _load_start(options)
    train, val = (_open_split(data, options.kind, split) for split in ("train", "val"))
    for samples in (train, val):
        check_samples(samples)
    images = PromptedImages(
        train, make_promptable_task(manifest), device=device, prompting=options.make_prompting()
    )
    scores = BoxScores(val, manifest, str(device), options.val_images)
    model = PromptTraining(network, trained=options.trained)
    return Training(
        model=model.to(device).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        batches=Batches(len(images), images.batch),
        loss=MaskLoss(),
        validate=lambda averaged: scores(_get_network(averaged)),
        metric="iou",
        save=lambda averaged, path, found: _save(averaged, path, manifest, found),
        options=options,
    )


def _load_start(options: FinetuneOptions) -> tuple[PromptableModel, Manifest]:
    """Loads or builds the initial model, with its manifest."""
    if bool(options.start) == options.scratch:
        raise UsageError("finetuning starts from either weights or random weights: --start FILE, or --scratch")
    if options.scratch:
        network, manifest = build(PROMPTABLE[options.architecture]), find_model(options.architecture).manifest()
    else:
        network, manifest = open_network(Path(options.start), None)
    held = f"{options.start}: holds {manifest.architecture}, but architecture is {options.architecture}"
    if not isinstance(network, PromptableModel):
        raise UsageError(f"{held}; give the weights of a promptable model")
    if manifest.architecture != options.architecture:
        raise UsageError(f"{held}; pass --architecture {manifest.architecture}")
    return network, manifest


def _open_split(data: Path, kind: str, split: str) -> PromptableData:
    # without these folders training and validation would use the same images
    if kind == "sa1b" and not (data / split).is_dir():
        raise DataError(f"{data / split}: no such folder; move the images into {data}/train and {data}/val")
    return PROMPTABLE_DATA[kind](data, split)


def _get_network(averaged: nn.Module) -> PromptableModel:
    assert isinstance(averaged, PromptTraining)
    return averaged.network


def _save(averaged: nn.Module, path: Path, manifest: Manifest, scores: dict[str, float]) -> None:
    metrics = {f"val/{name}": round(score, 4) for name, score in scores.items()}
    save_own(_get_network(averaged), path, replace(manifest, metrics=metrics))
