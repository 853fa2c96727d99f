"""EfficientViT-SR on own images, from random weights.

    densevit train sr_x2 --data DIR --out RUN

DIR holds `train/` and `val/` with high-resolution images (sub-folders are looked into); the low resolution is
made of them by MATLAB's antialiased bicubic. Images of `val/` choose the weights that are kept. A teacher is
optional: a folder with a better model's enlargements of the same low resolution (`benchmarks/peers.py` makes
one), which half of the loss follows.

Two cores with bf16 (AMD EPYC), shared with other work: 0.2 to 0.6 s a step; `assets/sr-x2.md` has what came of
it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from densevit.checkpoints.loading import load_network
from densevit.checkpoints.state import save_own
from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest, super_resolution_manifest
from densevit.data.base import HighResolutionData, list_images
from densevit.data.high_resolution import HighResolution
from densevit.evaluate import evaluate_super_resolution
from densevit.models.build import build_super_resolution
from densevit.runtimes.eager import EagerRuntime
from densevit.tasks.super_resolution import make_super_resolution_task
from densevit.train.distributed import training_device
from densevit.train.loop import Batches, Training
from densevit.train.options import Options
from densevit.train.super_resolution import Pairs, SuperResolutionLoss
from densevit.variants import SUPER_RESOLUTION


@dataclass(frozen=True)
class SuperResolutionOptions(Options):
    """The loop's settings and this recipe's own."""

    steps: int = 12_000
    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    warmup_steps: int = 100
    ema_decay: float = 0.999
    validate_every: int = 1000
    architecture: str = "sr-x2"  # a key of variants.SUPER_RESOLUTION, which sets scale and width
    crop: int = 48  # side of the crops in pixels of the low resolution, a multiple of 16
    copies: tuple[float, ...] = (1.0,)  # every image enters once per factor, downscale by it
    loss: Literal["l1", "l2"] = "l1"
    frequency: float = 0.0  # weight of the distance of the spectra
    teacher: str = ""  # folder of a better model's enlargements, PNG of the same names; "" for none
    distillation: float = 0.5  # share of the distance from the teacher's images
    start: str = ""  # own weights file to begin from, "" for random weights

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in SUPER_RESOLUTION:
            known = ", ".join(SUPER_RESOLUTION)
            raise UsageError(f"architecture must be one of {known}, got {self.architecture!r}")
        if self.crop < 16 or self.crop % 16:
            raise UsageError(f"crop must be a multiple of 16, got {self.crop}")
        if not self.copies or not all(0 < factor <= 1 for factor in self.copies):
            raise UsageError(f"copies must be factors in (0, 1], got {self.copies}")
        if not 0 <= self.distillation <= 1:
            raise UsageError(f"distillation is a share, it must be in [0, 1], got {self.distillation}")
        if self.frequency < 0:
            raise UsageError(f"frequency is a weight, it must not be negative, got {self.frequency}")


def recipe(data: Path, options: SuperResolutionOptions) -> Training:
    """Builds the training; `data` holds `train/` and `val/`."""
    return training(
        list_images(data / "train", recursive=True),
        HighResolution(list_images(data / "val", recursive=True)),
        options,
    )


def training(train: list[Path], val: HighResolutionData, options: SuperResolutionOptions) -> Training:
    """The training on any images."""
    table = SUPER_RESOLUTION[options.architecture]
    manifest = super_resolution_manifest(options.architecture, options.architecture)
    torch.manual_seed(options.seed)
    device = training_device(options.device)
    teacher = Path(options.teacher) if options.teacher else None
    pairs = Pairs(
        train, scale=table.scale, copies=options.copies, crop=options.crop, device=device, teacher=teacher
    )
    network: nn.Module = build_super_resolution(table)
    if options.start:
        network = load_network(Path(options.start), manifest)[0].requires_grad_(True)
    return Training(
        model=network.to(device).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        batches=Batches(len(pairs), pairs.batch),
        loss=SuperResolutionLoss(options.loss, options.frequency, options.distillation),
        validate=_Validation(val, manifest, str(device)),
        metric="psnr_y",
        save=lambda averaged, path, scores: _save(averaged, path, manifest, scores),
        options=options,
    )


class _Validation:
    """PSNR and SSIM on Y of the averaged weights, by the steps that predict."""

    def __init__(self, data: HighResolutionData, manifest: Manifest, device: str) -> None:
        self.data = data
        self.manifest = manifest
        self.device = device

    def __call__(self, averaged: nn.Module) -> dict[str, float]:
        runtime = EagerRuntime(averaged, self.manifest, device=self.device)
        task = make_super_resolution_task(self.manifest)
        return evaluate_super_resolution(task, runtime, self.data).metrics


def _save(averaged: nn.Module, path: Path, manifest: Manifest, scores: dict[str, float]) -> None:
    metrics = {f"val/{name}": round(scores[name], 4) for name in ("psnr_y", "ssim_y")}
    save_own(averaged, path, replace(manifest, metrics=metrics))
