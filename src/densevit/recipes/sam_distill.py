"""An image encoder for Segment Anything learns a teacher's embeddings: EfficientViT-SAM's first stage.

    densevit train sam_distill --data DIR --out RUN --teacher mobile_sam.pt

DIR holds `train/` and `val/` with any images, also in sub-folders; annotations are not needed. The teacher is the
weights file of any promptable model. It embeds every image once before the training starts; `cache` keeps the
embeddings (2 MiB per image, twice that with `flip`). The result uses the teacher's prompt encoder and mask
decoder, which are copied unchanged.

The paper distilled SAM-ViT-H on SA-1B; neither the code nor the length of this stage was published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import nn

from densevit.checkpoints.state import save_own
from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest
from densevit.data.base import list_images
from densevit.data.coco import Coco
from densevit.models.build import PromptableModel, build
from densevit.tasks.promptable import make_promptable_task
from densevit.train.batches import Batches
from densevit.train.distillation import (
    DistillationLoss,
    EmbeddedImages,
    EmbeddingScores,
    copy_prompt_parts,
    match_scale,
)
from densevit.train.distributed import training_device
from densevit.train.embeddings import EmbeddingCache, PromptableTeacher
from densevit.train.loop import Training
from densevit.train.mask_scores import BoxScores
from densevit.train.options import Options
from densevit.train.start import start_from
from densevit.variants import PROMPTABLE
from densevit.zoo import find_model


@dataclass(frozen=True)
class DistillOptions(Options):
    """Options of the loop and of this recipe."""

    steps: int = 20_000
    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    ema_decay: float = 0.999
    architecture: Annotated[str, "A key of variants.PROMPTABLE."] = "sam-b1"
    teacher: Annotated[str, "Weights file of a promptable model; required."] = ""
    teacher_precision: Annotated[
        Literal["fp32", "bf16"], "Precision of its forward pass; embeddings are stored in fp16."
    ] = "fp32"
    start: Annotated[
        str, 'Weights file of any task, whose backbone initializes the student; "" for random weights.'
    ] = ""
    loss: Literal["l2", "smooth_l1"] = "l2"
    cosine: Annotated[float, "Weight of the cosine distance between the embeddings."] = 0.0
    padding: Annotated[float, "Weight of cells beyond the image in the loss."] = 0.1
    flip: Annotated[bool, "Use every image mirrored as well; the teacher embeds it twice."] = True
    cache: Annotated[str, "Folder for the teacher's embeddings; empty for DIR/embeddings."] = ""
    boxes: Annotated[str, 'COCO folder; its "val" adds the score "iou" for box prompts.'] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in PROMPTABLE:
            known = ", ".join(PROMPTABLE)
            raise UsageError(f"architecture must be one of {known}, got {self.architecture!r}")
        if self.cosine < 0 or self.padding < 0:
            raise UsageError("cosine and padding are weights and must not be negative")


def recipe(data: Path, options: DistillOptions) -> Training:
    """Builds the training; `data` holds `train/` and `val/`."""
    if not options.teacher:
        raise UsageError("a distillation needs a teacher: --teacher FILE, such as mobile_sam.pt")
    torch.manual_seed(options.seed)
    device = training_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    manifest = find_model(options.architecture).manifest()
    student = build(PROMPTABLE[options.architecture])
    assert isinstance(student, PromptableModel)
    if options.start:
        start_from(student, Path(options.start))
    teacher = PromptableTeacher(Path(options.teacher), device=str(device), precision=options.teacher_precision)
    copy_prompt_parts(student, teacher.network)

    task = make_promptable_task(manifest)
    cache = EmbeddingCache(Path(options.cache) if options.cache else data / "embeddings", teacher)
    train, val = (
        EmbeddedImages(list_images(data / part, recursive=True), task, cache, device=device, flip=flip)
        for part, flip in (("train", options.flip), ("val", False))
    )
    boxes = [BoxScores(Coco(Path(options.boxes), "val"), manifest, str(device))] if options.boxes else []
    cache.fill([*val.samples, *train.samples])
    match_scale(student, train)
    return Training(
        model=student.to(device).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        batches=Batches(len(train), train.batch),
        loss=DistillationLoss(options.loss, options.cosine, options.padding),
        validate=_Validation([EmbeddingScores(val, manifest, str(device)), *boxes]),
        metric="cosine",
        save=lambda averaged, path, scores: _save(averaged, path, manifest, scores),
        options=options,
    )


class _Validation:
    """The scores of several validations together."""

    def __init__(self, parts: Sequence[Callable[[nn.Module], dict[str, float]]]) -> None:
        self.parts = parts

    def __call__(self, averaged: nn.Module) -> dict[str, float]:
        return {name: score for part in self.parts for name, score in part(averaged).items()}


def _save(averaged: nn.Module, path: Path, manifest: Manifest, scores: dict[str, float]) -> None:
    metrics = {f"val/{name}": round(score, 4) for name, score in scores.items()}
    save_own(averaged, path, replace(manifest, metrics=metrics))
