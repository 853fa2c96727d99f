"""Training of super-resolution: cached pairs of images, aligned random crops, the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from densevit import imaging
from densevit.core.errors import InputError, UsageError
from densevit.imaging import Size
from densevit.imaging.reading import open_image
from densevit.tasks.super_resolution import crop_to_multiple, downscale

CACHE_BYTES = 12 * 2**30
"""Pairs up to this total size are kept in memory, the rest is read again in every epoch."""


class Pairs:
    """High-resolution images and their `matlab_bicubic` downscaled versions, as tensors on the device.

    Each whole image is downscaled once, so that crops have the same pixel grid as whole images.

    Args:
        paths: the images.
        scale: upscaling factor of height and width.
        copies: factors by which each image is downscaled first; it is used once per factor, and 1 leaves it
            unchanged. Downscaling removes JPEG artifacts and gives finer structure.
        crop: side of the crops in pixels of the low resolution; smaller images are left out.
        device: device of the batches.
        teacher: folder with another model's upscaled version of each image, a PNG of the same stem with 8 or 16
            bits; None without a teacher.

    Raises:
        InputError: every image is smaller than a crop.
        UsageError: a teacher together with downscaled copies.
        ImageError: an image cannot be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        scale: int,
        copies: Sequence[float],
        crop: int,
        device: torch.device,
        teacher: Path | None = None,
    ) -> None:
        if teacher is not None and set(copies) != {1}:
            raise UsageError(
                f"the teacher's images have the original size, so copies must be 1; got {tuple(copies)}"
            )
        self._teacher = teacher
        self.scale = scale
        self.crop = crop
        self._device = device
        self._cache: dict[int, tuple[Tensor, ...]] = {}
        self._bytes = 0
        self._samples: list[tuple[Path, float]] = []
        for path in paths:
            with open_image(path, max_pixels=imaging.DEFAULT_MAX_PIXELS) as (image, _):
                side = min(image.size)
            # one pixel more than the crop, because images are cropped to a multiple of the scale
            self._samples += [(path, factor) for factor in copies if int(side * factor) >= scale * (crop + 1)]
        if not self._samples:
            raise InputError(
                f"none of {len(paths)} images is larger than a crop of {scale * crop} x {scale * crop} px"
            )

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        """-> (3, h, w) and (3, h * scale, w * scale), uint8; with a teacher also its image, fp16 in 0..1."""
        if index in self._cache:
            return self._cache[index]
        path, factor = self._samples[index]
        image = imaging.read(path)
        if factor != 1:
            size = Size(*(round(side * factor) for side in image.shape[:2]))
            image = imaging.resize(image, size, "matlab_bicubic")
        high = crop_to_multiple(image, self.scale)
        pair: tuple[Tensor, ...] = (self._to_tensor(downscale(high, self.scale)), self._to_tensor(high))
        if self._teacher is not None:
            pair = (*pair, self._read_teacher(self._teacher / f"{path.stem}.png", high.shape))
        self._bytes += sum(tensor.nbytes for tensor in pair)
        if self._bytes <= CACHE_BYTES:
            self._cache[index] = pair
        return pair

    def _to_tensor(self, image: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(image.transpose(2, 0, 1))).to(self._device)

    def _read_teacher(self, path: Path, shape: tuple[int, ...]) -> Tensor:
        """Reads the teacher's image.

        Raises:
            ImageError: it cannot be read.
            InputError: it has another size.
        """
        pixels = imaging.read_photo(path).pixels
        if pixels.shape != shape:
            raise InputError(f"{path}: the teacher's image is {Size.of(pixels)}, the original {Size(*shape[:2])}")
        values = pixels / np.float32(np.iinfo(pixels.dtype).max)
        return self._to_tensor(values.astype(np.float16))

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        """Makes a batch of random crops, each in one of the eight orientations of a square.

        Returns:
            "low" (B, 3, crop, crop) and "high" (B, 3, crop * scale, crop * scale), float32 in 0..1; with a
            teacher also "soft", like "high".
        """
        crop, scale = self.crop, self.scale
        names = ("low", "high") if self._teacher is None else ("low", "high", "soft")
        crops: dict[str, list[Tensor]] = {name: [] for name in names}
        for index in indices:
            low, *large = self[index]
            top = int(torch.randint(low.shape[1] - crop + 1, (), generator=generator))
            left = int(torch.randint(low.shape[2] - crop + 1, (), generator=generator))
            orientation = int(torch.randint(8, (), generator=generator))
            crops["low"].append(_orient(low[:, top : top + crop, left : left + crop], orientation))
            top, left, side = top * scale, left * scale, crop * scale
            for name, image in zip(names[1:], large, strict=True):
                crops[name].append(_orient(image[:, top : top + side, left : left + side], orientation))
        most = {"low": 255, "high": 255, "soft": 1}
        return {name: torch.stack(parts).float() / most[name] for name, parts in crops.items()}


def _orient(image: Tensor, orientation: int) -> Tensor:
    """Turns and mirrors (C, S, S) into one of the eight orientations of a square."""
    if orientation & 1:
        image = image.flip(2)
    if orientation & 2:
        image = image.flip(1)
    return image.transpose(1, 2) if orientation & 4 else image


@dataclass(frozen=True)
class SuperResolutionLoss:
    """Mean distance of the pixels, and optionally of the spectra.

    Attributes:
        kind: l1, or l2 for a final phase, because PSNR measures squared errors.
        distillation: share of the distance from the teacher's image in the pixel distance, 0..1.
        frequency: weight of the mean absolute difference of the Fourier coefficients, which are normalized so that
            it does not depend on the crop's size.
    """

    kind: Literal["l1", "l2"]
    frequency: float = 0.0
    distillation: float = 0.0

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns "loss" and its parts, for pixels in 0..1."""
        low = batch["low"].contiguous(memory_format=torch.channels_last)
        restored, target = model(low).float(), batch["high"]
        parts = {"pixels": self._distance(restored, target)}
        total = parts["pixels"]
        if "soft" in batch:
            parts["distillation"] = self._distance(restored, batch["soft"])
            total = torch.lerp(total, parts["distillation"], self.distillation)
        if self.frequency:
            spectrum = torch.fft.rfft2(restored - target, norm="ortho")
            parts["frequency"] = torch.view_as_real(spectrum).abs().mean()
            total = total + self.frequency * parts["frequency"]
        return {"loss": total, **parts}

    def _distance(self, restored: Tensor, target: Tensor) -> Tensor:
        # squared errors of pixels in 0..1 are tiny; in units of 1/16 their gradient has the size of L1's
        return F.l1_loss(restored, target) if self.kind == "l1" else 16 * F.mse_loss(restored, target)
