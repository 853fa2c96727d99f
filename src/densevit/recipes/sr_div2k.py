"""EfficientViT-SR on DIV2K, the paper's training set for light super-resolution.

    densevit train sr_div2k --data DIR --out RUN

DIR holds `DIV2K_train_HR/` and `DIV2K_valid_HR/` as published (800 and 100 PNG files). The paper's Table 5 gives
32.33 dB and 0.9019 on BSD100 for w1.0, and 32.31 dB and 0.9016 for w0.75; its schedule is not published. The
default is meant for about a day on one accelerator. We have not run it to the end, so we give no score of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from densevit.data.base import list_images
from densevit.data.high_resolution import HighResolution
from densevit.recipes.sr_x2 import SuperResolutionOptions, build_training
from densevit.train.loop import Training


@dataclass(frozen=True)
class Div2kOptions(SuperResolutionOptions):
    """The defaults for DIV2K."""

    steps: int = 300_000
    batch: int = 32
    crop: int = 64
    ema_decay: float = 0.9998
    validate_every: int = 5000
    checkpoint_every: int = 1000


def recipe(data: Path, options: Div2kOptions) -> Training:
    """Builds the training; `data` holds the two folders."""
    return build_training(
        list_images(data / "DIV2K_train_HR"), HighResolution(list_images(data / "DIV2K_valid_HR")), options
    )
