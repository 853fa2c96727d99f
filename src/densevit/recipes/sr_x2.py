"""EfficientViT-SR on your own images, from random weights.

    densevit train sr_x2 --data DIR --out RUN

DIR holds `train/` and `val/` with high-resolution images, also in sub-folders; MATLAB's antialiased bicubic
downscales them. The scores on `val/` decide which weights are kept. A teacher is optional: `--teacher FOLDER`
names a folder with a better model's upscaled images (`benchmarks/peers.py` writes one), which make up half of the
loss.

Two cores with bf16 (AMD EPYC), shared with other work: 0.2 to 0.6 s per step; `assets/sr-x2.md` reports the
result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import nn

from densevit.checkpoints.loading import load_network
from densevit.checkpoints.state import save_own
from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest, super_resolution_manifest
from densevit.data.base import HighResolutionData, list_images
from densevit.data.checking import check_samples
from densevit.data.high_resolution import HighResolution
from densevit.evaluate import evaluate_super_resolution
from densevit.models.build import build_super_resolution
from densevit.runtimes.eager import EagerRuntime
from densevit.tasks.super_resolution import make_super_resolution_task
from densevit.train.batches import Batches
from densevit.train.distributed import training_device
from densevit.train.loop import Training
from densevit.train.options import Options
from densevit.train.super_resolution import Pairs, SuperResolutionLoss
from densevit.variants import SUPER_RESOLUTION


@dataclass(frozen=True)
class SuperResolutionOptions(Options):
    """Options of the loop and of this recipe."""

    steps: int = 12_000
    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    warmup_steps: int = 100
    ema_decay: float = 0.999
    validate_every: int = 1000
    architecture: Annotated[str, "A key of variants.SUPER_RESOLUTION."] = "sr-x2"
    crop: Annotated[int, "Side of the crops in pixels of the low resolution, a multiple of 16."] = 48
    copies: Annotated[tuple[float, ...], "Every image is used once per factor, downscaled by it."] = (1.0,)
    loss: Literal["l1", "l2"] = "l1"
    frequency: Annotated[float, "Weight of the distance between the spectra."] = 0.0
    teacher: Annotated[
        str, "Folder of a better model's upscaled images, PNGs of the same names;; empty without."
    ] = ""
    distillation: Annotated[float, "Share of the distance from the teacher's images in the loss."] = 0.5
    start: Annotated[str, "Initial weights in densevit's .safetensors format; empty for random weights."] = ""

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
            raise UsageError(f"distillation is a share and must be in [0, 1], got {self.distillation}")
        if self.frequency < 0:
            raise UsageError(f"frequency is a weight and must not be negative, got {self.frequency}")


def recipe(data: Path, options: SuperResolutionOptions) -> Training:
    """Builds the training; `data` holds `train/` and `val/`."""
    return build_training(
        list_images(data / "train", recursive=True),
        HighResolution(list_images(data / "val", recursive=True)),
        options,
    )


def build_training(train: list[Path], val: HighResolutionData, options: SuperResolutionOptions) -> Training:
    """Builds the training for any lists of images."""
    check_samples(val)
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
    """PSNR and SSIM on Y of the averaged weights, computed as `densevit eval` does."""

    def __init__(self, data: HighResolutionData, manifest: Manifest, device: str) -> None:
        self.data = data
        self.manifest = manifest
        self.device = device

    def __call__(self, averaged: nn.Module) -> dict[str, float]:
        runtime = EagerRuntime(averaged, self.manifest, device=self.device)
        task = make_super_resolution_task(self.manifest)
        return evaluate_super_resolution(task, runtime, self.data, scale=task.scale).metrics


def _save(averaged: nn.Module, path: Path, manifest: Manifest, scores: dict[str, float]) -> None:
    metrics = {f"val/{name}": round(scores[name], 4) for name in ("psnr_y", "ssim_y")}
    save_own(averaged, path, replace(manifest, metrics=metrics))
