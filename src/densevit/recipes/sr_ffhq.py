"""EfficientViT-SR on FFHQ, 512 -> 1024: the paper's high-resolution set.

    densevit train sr_ffhq --data DIR --out RUN

DIR holds the 1024 x 1024 images of FFHQ, `00000.png` to `69999.png`, in one folder or in the published
folders of 1000. As in the paper, the first 3000 images of FFHQ's training part (00000 to 59999) are used for
training and the first 500 of its validation part (from 60000 on) for validation. The paper's Table 5 gives 43.58
dB and 0.9810 for w1.0; the default is meant for one accelerator. We have not run it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from densevit.core.errors import InputError
from densevit.data.base import list_images
from densevit.data.high_resolution import HighResolution
from densevit.recipes.sr_x2 import SuperResolutionOptions, build_training
from densevit.train.loop import Training

TRAINING = range(3000)
VALIDATION = range(60_000, 60_500)


@dataclass(frozen=True)
class FfhqOptions(SuperResolutionOptions):
    """The defaults for FFHQ."""

    steps: int = 200_000
    batch: int = 32
    crop: int = 64
    ema_decay: float = 0.9998
    validate_every: int = 10_000
    checkpoint_every: int = 1000


def recipe(data: Path, options: FfhqOptions) -> Training:
    """Builds the training; `data` is FFHQ's folder."""
    found = {path.stem: path for path in list_images(data, recursive=True)}
    val = HighResolution(_select_numbers(found, VALIDATION, data))
    return build_training(_select_numbers(found, TRAINING, data), val, options)


def _select_numbers(found: dict[str, Path], numbers: range, data: Path) -> list[Path]:
    """Selects the images with the given numbers.

    Raises:
        InputError: an image is missing.
    """
    names = [f"{number:05d}" for number in numbers]
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{data}: {len(missing)} of FFHQ's images are missing, the first is {missing[0]}.png")
    return [found[name] for name in names]
