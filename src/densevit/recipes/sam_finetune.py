"""A promptable model that learns masks of objects end to end: EfficientViT-SAM's second stage.

    densevit train sam_finetune --data coco --out RUN --set start=efficientvit_sam_l0.pt

The folder is of COCO's layout, or with `kind` of LVIS's or SA-1B's, with the parts "train" and "val"; those of
SA-1B are its sub-folders `train/` and `val/`. `start` is a promptable model's weights file, such as an official
one or what the recipe sam_distill leaves.

As in the released training (arXiv 2402.05008; github.com/mit-han-lab/efficientvit): prompts by chance, boxes or
points, one mask or three; AdamW without warm-up; learning rate 8e-7 (4e-7 for the XL models) per process of 4
images, so for more processes both are multiplied. It went over SA-1B twice. Other than there, the predicted
intersection over union learns too, and the weights kept are averaged ones.

The backward pass needs some 70 MB per prompt in fp32: `batch` times `masks` of them have to fit the device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from densevit.checkpoints.opening import open_network
from densevit.checkpoints.state import save_own
from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest
from densevit.data.base import DataError, PromptableData
from densevit.data.table import PROMPTABLE_DATA
from densevit.models.build import PromptableModel, build
from densevit.tasks.promptable import make_promptable_task
from densevit.train.distributed import training_device
from densevit.train.loop import Batches, Training
from densevit.train.mask_losses import MaskLoss
from densevit.train.mask_scores import BoxScores
from densevit.train.options import Options
from densevit.train.promptable import PromptedImages, Prompting, PromptTraining
from densevit.variants import PROMPTABLE
from densevit.zoo import find_model


@dataclass(frozen=True)
class FinetuneOptions(Options):
    """The loop's settings and this recipe's own."""

    steps: int = 20_000
    batch: int = 4
    learning_rate: float = 8e-7
    weight_decay: float = 0.1
    warmup_steps: int = 0
    clip_norm: float = 2.0
    ema_decay: float = 0.999
    kind: Literal["coco", "sa1b", "lvis"] = "coco"  # of the data
    architecture: str = "sam-l0"  # a key of variants.PROMPTABLE
    start: str = ""  # weights file of this architecture, own or official; must be given
    scratch: bool = False  # begin with random weights instead
    trained: Literal["all", "encoder", "decoder"] = "all"  # decoder: everything but the image encoder
    masks: int = 64  # objects per image, at most
    boxes: float = 0.5  # share of images that are asked about by boxes
    points: int = 10  # per object of other images, at most
    multimask: float = 0.5  # share of steps in which the three masks for ambiguous prompts count
    flip: bool = True  # mirror every other image
    val_images: int = 500  # images that a validation looks at, 0 for all

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in PROMPTABLE:
            known = ", ".join(PROMPTABLE)
            raise UsageError(f"architecture must be one of {known}, got {self.architecture!r}")
        if self.val_images < 0:
            raise UsageError(f"val_images must not be negative, got {self.val_images}")
        self.prompting()

    def prompting(self) -> Prompting:
        """What is asked about images."""
        return Prompting(self.masks, self.boxes, self.points, self.multimask, self.flip)


def recipe(data: Path, options: FinetuneOptions) -> Training:
    """Builds the training; `data` holds the parts "train" and "val"."""
    torch.manual_seed(options.seed)
    device = training_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    network, manifest = _beginning(options)
    train, val = (_part(data, options.kind, split) for split in ("train", "val"))
    images = PromptedImages(train, make_promptable_task(manifest), device=device, prompting=options.prompting())
    scores = BoxScores(val, manifest, str(device), options.val_images)
    model = PromptTraining(network, trained=options.trained)
    return Training(
        model=model.to(device).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        batches=Batches(len(images), images.batch),
        loss=MaskLoss(),
        validate=lambda averaged: scores(_network(averaged)),
        metric="iou",
        save=lambda averaged, path, found: _save(averaged, path, manifest, found),
        options=options,
    )


def _beginning(options: FinetuneOptions) -> tuple[PromptableModel, Manifest]:
    """The model to begin with, and what it is."""
    if bool(options.start) == options.scratch:
        raise UsageError(
            "a finetuning needs weights to begin with, and only them: --set start=FILE, or --set scratch=true"
        )
    if options.scratch:
        network, manifest = build(PROMPTABLE[options.architecture]), find_model(options.architecture).manifest()
    else:
        network, manifest = open_network(Path(options.start), None)
    if not isinstance(network, PromptableModel) or manifest.architecture != options.architecture:
        raise UsageError(
            f"{options.start}: holds {manifest.architecture}, the architecture asked for is "
            f"{options.architecture}; give its weights, or --set architecture=NAME"
        )
    return network, manifest


def _part(data: Path, kind: str, split: str) -> PromptableData:
    # without such folders the images to validate on would be those of the training
    if kind == "sa1b" and not (data / split).is_dir():
        raise DataError(f"{data / split}: no such folder; move the images into {data}/train and {data}/val")
    return PROMPTABLE_DATA[kind](data, split)


def _network(averaged: nn.Module) -> PromptableModel:
    assert isinstance(averaged, PromptTraining)
    return averaged.network


def _save(averaged: nn.Module, path: Path, manifest: Manifest, scores: dict[str, float]) -> None:
    metrics = {f"val/{name}": round(score, 4) for name, score in scores.items()}
    save_own(_network(averaged), path, replace(manifest, metrics=metrics))
