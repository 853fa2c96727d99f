"""Training of segmentation: cached samples, augmented batches, the loss, distillation from a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from densevit.core.errors import UsageError
from densevit.core.processes import read_launch
from densevit.data.base import SegmentationData
from densevit.metrics import IGNORE
from densevit.models.build import DenseModel, Network
from densevit.models.heads import SegmentationHead
from densevit.train import losses
from densevit.train.augment import draw_view, jitter_color, sample_labels, sample_maps

CACHE_BYTES = 8 * 2**30
"""A training set up to this size is kept in memory, a larger one is read again in every epoch."""


@dataclass(frozen=True)
class Augmentation:
    """Options of the random crops."""

    crop: tuple[int, int]  # (height, width) in pixels of the network's input, multiples of 32
    scale: tuple[float, float]  # range of the resize factor, drawn log-uniformly
    color: float  # largest relative change of brightness, contrast, saturation and gamma
    target_stride: int  # labels have this stride in pixels of the crop

    def __post_init__(self) -> None:
        if min(self.crop) < 32 or any(side % 32 for side in self.crop):
            raise UsageError(f"crop must be two multiples of 32, got {self.crop}")
        if not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise UsageError(f"scale must be two positive factors, the smaller one first, got {self.scale}")
        if not 0 <= self.color < 1:
            raise UsageError(f"color must be in [0, 1), got {self.color}")


class Samples:
    """A training set as tensors on the device, cached if it is small enough.

    Args:
        data: the images and labels.
        device: device of the batches.
        teacher: (N, H, W, 3) uint8 -> probabilities (N, K, h, w) fp16, called once per image; or None.
    """

    def __init__(
        self,
        data: SegmentationData,
        device: torch.device,
        *,
        teacher: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._data = data
        self._device = device
        first = data[0]
        self._fits = (first.image.nbytes + first.labels.nbytes) * len(data) <= CACHE_BYTES
        self._cache: dict[int, tuple[Tensor, Tensor]] = {}
        self.soft: list[Tensor] = []
        if teacher is not None:
            hidden = read_launch().rank != 0
            for index in track(range(len(data)), "teacher", console=Console(stderr=True), disable=hidden):
                self.soft.append(teacher(self[index][0].permute(1, 2, 0)[None])[0])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """-> (3, H, W) uint8 image, (H, W) uint8 labels."""
        if index in self._cache:
            return self._cache[index]
        sample = self._data[index]
        image = torch.from_numpy(np.array(sample.image.transpose(2, 0, 1))).to(self._device)
        pair = image, torch.from_numpy(np.array(sample.labels)).to(self._device)
        if self._fits:
            self._cache[index] = pair
        return pair

    def count_classes(self, classes: int) -> Tensor:
        """(classes,) int64: number of labeled pixels of each class."""
        counts = torch.zeros(classes, dtype=torch.int64)
        for index in range(len(self)):
            labels = self[index][1]
            counts += torch.bincount(labels[labels != IGNORE].long(), minlength=classes).cpu()
        return counts

    def batch(
        self, indices: Sequence[int], generator: torch.Generator, augmentation: Augmentation
    ) -> dict[str, Tensor]:
        """Makes a batch of random crops.

        Returns:
            "image" (B, 3, h, w) float32 in 0..255; "labels" (B, h / s, w / s) int64 for target stride s;
            with a teacher also "soft" (B, K, h / 8, w / 8) float32 probabilities.
        """
        crop, stride = augmentation.crop, augmentation.target_stride
        images, labels, soft = [], [], []
        for index in indices:
            image, target = self[index]
            size = (image.shape[1], image.shape[2])
            view = draw_view(size, crop, scale=augmentation.scale, generator=generator)
            cut = sample_maps(image, view, crop)
            images.append(jitter_color(cut, strength=augmentation.color, generator=generator))
            target_size = (crop[0] // stride, crop[1] // stride)
            labels.append(sample_labels(target, view, target_size, ignore=IGNORE))
            if self.soft:
                soft.append(sample_maps(self.soft[index], view, (crop[0] // 8, crop[1] // 8)))
        batch = {"image": torch.stack(images), "labels": torch.stack(labels)}
        return batch | {"soft": torch.stack(soft)} if soft else batch


class Normalize(nn.Module):
    """Normalizes channels in 0..255 to zero mean and unit standard deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, float32."""
        return (image.float() - self.mean) / self.std


class SegmentationTrainee(nn.Module):
    """The network with the parts that only training needs: normalization, and a head that imitates the teacher.

    Args:
        network: the segmentation model.
        normalize: applied to images in 0..255.
        teacher_classes: number of the teacher's classes, 0 without a teacher.
    """

    def __init__(self, network: Network, normalize: Normalize, *, teacher_classes: int = 0) -> None:
        super().__init__()
        assert isinstance(network, DenseModel)
        assert isinstance(network.head, SegmentationHead)
        self.network = network
        self.normalize = normalize
        channels = network.head.embedding_channels
        self.imitation = nn.Conv2d(channels, teacher_classes, 1) if teacher_classes else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) in 0..255 -> logits at stride 8, and logits that imitate the teacher's."""
        head = self.network.head
        assert isinstance(head, SegmentationHead)
        embedding = head.embed(self.network.backbone(self.normalize(image)))
        imitation = None if self.imitation is None else self.imitation(embedding)
        return head.classify(embedding), imitation


@dataclass(frozen=True)
class SegmentationLoss:
    """Weighted sum of cross entropy, soft Dice and the divergence from the teacher.

    Attributes:
        kind: "cross_entropy" is the mean over all pixels, "hard_pixels" over the quarter with the largest loss.
        weight: (C,) class weights or None.
        dice: weight of the soft Dice term.
        distillation: weight of the divergence from the teacher.
        teacher_map: for each of the teacher's classes our class, or None; with it the classifier itself learns
            from the teacher on images without any label.
    """

    kind: Literal["cross_entropy", "hard_pixels"]
    weight: Tensor | None
    dice: float
    distillation: float
    teacher_map: tuple[int, ...] | None = None

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns "loss" and its parts."""
        logits, imitation = model(batch["image"].contiguous(memory_format=torch.channels_last))
        labels = batch["labels"]
        coarse = logits
        logits = nn.functional.interpolate(
            logits.float(), size=labels.shape[-2:], mode="bilinear", align_corners=False
        )
        entropy = losses.cross_entropy if self.kind == "cross_entropy" else losses.hard_cross_entropy
        parts = {"cross_entropy": entropy(logits, labels, weight=self.weight, ignore=IGNORE)}
        total = parts["cross_entropy"]
        if self.dice:
            parts["dice"] = losses.soft_dice(logits, labels, ignore=IGNORE)
            total = total + self.dice * parts["dice"]
        if imitation is not None:
            parts["distillation"] = losses.distillation(imitation, batch["soft"])
            total = total + self.distillation * parts["distillation"]
            unlabeled = (labels == IGNORE).all(dim=(1, 2)) if self.teacher_map else None
            if unlabeled is not None and bool(unlabeled.any()):
                answer = self._translate(batch["soft"][unlabeled], coarse.shape[1])
                parts["unlabeled"] = losses.distillation(coarse[unlabeled], answer)
                share = unlabeled.float().mean()
                total = total + self.distillation * share * parts["unlabeled"]
        return {"loss": total, **parts}

    def _translate(self, soft: Tensor, classes: int) -> Tensor:
        """(B, K, h, w) probabilities of the teacher's classes -> (B, classes, h, w) of ours."""
        assert self.teacher_map is not None
        ours = torch.tensor(self.teacher_map, device=soft.device)
        summed = torch.zeros(soft.shape[0], classes, *soft.shape[2:], device=soft.device)
        return summed.index_add(1, ours, soft)
