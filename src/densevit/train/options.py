"""The options that every training has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from densevit.core.errors import UsageError


@dataclass(frozen=True)
class Options:
    """Options of the training loop; recipes derive from it to add their own."""

    steps: Annotated[int, "Total number of optimizer steps."] = 10_000
    batch: Annotated[int, "Samples per step, summed over all ranks."] = 8
    optimizer: Annotated[
        Literal["adamw", "muon"], "muon: orthogonal updates for dense weights, AdamW for the rest."
    ] = "adamw"
    learning_rate: Annotated[float, "Peak value, reached after the warm-up."] = 3e-3
    weight_decay: Annotated[float, "Of convolution and linear weights only."] = 0.05
    warmup_steps: Annotated[int, "Linear, from zero."] = 300
    clip_norm: Annotated[float, "Gradients are clipped to this global norm."] = 1.0
    ema_decay: Annotated[float, "Of the averaged weights, which are validated and saved."] = 0.9995
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], "Autocast precision of the forward pass."] = (
        "auto"
    )
    device: Annotated[str, '"cpu", "cuda", "mps"; auto picks the available accelerator.'] = "auto"
    seed: Annotated[int, "For initial weights, sample order and augmentation."] = 0
    validate_every: Annotated[int, "Steps between validations."] = 500
    checkpoint_every: Annotated[int, "Steps between checkpoints."] = 250
    threads: Annotated[int, "Number of CPU threads; 0 leaves the choice to torch."] = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_steps", "threads"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
