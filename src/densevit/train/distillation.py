"""Distillation of an image encoder: images with the teacher's embeddings, the loss, the scores.

EfficientViT-SAM's first stage (arXiv 2402.05008, section 3.2): the student learns the embedding of Segment
Anything's encoder by squared error; the teacher's prompt encoder and mask decoder are copied unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from densevit import imaging
from densevit.core.manifest import Manifest
from densevit.models.build import PromptableModel
from densevit.models.channel_norm import ChannelNorm
from densevit.runtimes.eager import EagerRuntime
from densevit.tasks.promptable import Promptable
from densevit.train.embeddings import EmbeddingCache
from densevit.variants.segment_anything import EMBEDDING_SHAPE

CACHE_BYTES = 8 * 2**30
"""Images up to this total size are kept in memory, the rest is read again in every epoch."""


class EmbeddedImages:
    """Images preprocessed for the student, with the teacher's embeddings.

    Images are kept in memory at the student's working size; embeddings are read from disk.

    Args:
        paths: the images.
        task: the student's preprocessing.
        embeddings: the teacher's embeddings.
        device: device of the batches.
        flip: use every image twice, the second time mirrored.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        task: Promptable,
        embeddings: EmbeddingCache,
        *,
        device: torch.device,
        flip: bool,
    ) -> None:
        self.samples = [(path, mirrored) for mirrored in ((False, True) if flip else (False,)) for path in paths]
        self._task = task
        self._embeddings = embeddings
        self._device = device
        self._cache: dict[Path, NDArray[np.uint8]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float16], NDArray[np.bool_]]:
        """The student's input (3, S, S), the teacher's embedding (256, 64, 64), and the covered cells (64, 64).

        A cell is covered if any part of the image lies in it.

        Raises:
            ImageError: the image cannot be read.
        """
        path, mirrored = self.samples[index]
        image = self._read_image(path)
        tensors, placement = self._task.preprocess(image[:, ::-1] if mirrored else image)
        rows, columns = EMBEDDING_SHAPE[1:]
        covered = np.zeros((rows, columns), np.bool_)
        height, width = (
            -(-side * cells // whole)
            for side, cells, whole in zip(placement.content, (rows, columns), placement.tensor, strict=True)
        )
        covered[:height, :width] = True
        return tensors["image"][0], self._embeddings(path, mirrored), covered

    def _read_image(self, path: Path) -> NDArray[np.uint8]:
        """Reads the image at the working size, which preprocessing does not resize again."""
        if path in self._cache:
            return self._cache[path]
        task = self._task
        fitted, placement = imaging.resize_and_pad(
            imaging.read(path), task.size, multiple=task.side_px, kind=task.resize
        )
        image = fitted[: placement.content.height, : placement.content.width].copy()
        self._bytes += image.nbytes
        if self._bytes <= CACHE_BYTES:
            self._cache[path] = image
        return image

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        """Makes a batch of samples; it has no random augmentation.

        Returns:
            "image" (B, 3, S, S) float32 normalized, "embedding" (B, 256, 64, 64) float32, "covered" (B, 64, 64)
            bool.
        """
        images, embeddings, covered = zip(*(self[index] for index in indices), strict=True)
        return {
            "image": torch.from_numpy(np.stack(images)).to(self._device),
            "embedding": torch.from_numpy(np.stack(embeddings)).to(self._device).float(),
            "covered": torch.from_numpy(np.stack(covered)).to(self._device),
        }


@dataclass(frozen=True)
class DistillationLoss:
    """Distance between two embeddings, averaged over cells.

    Attributes:
        kind: squared error, or smooth L1, which grows linearly beyond 1.
        cosine: weight of one minus the cosine similarity of the channels of a cell.
        padding: weight of a cell beyond the image; a covered cell has weight 1. Not 0, because the decoder's
            attention reads those cells as well.
    """

    kind: Literal["l2", "smooth_l1"] = "l2"
    cosine: float = 0.0
    padding: float = 0.1

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns "loss" and its parts."""
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        student, teacher = model(image).float(), batch["embedding"]
        shares = torch.where(batch["covered"], 1.0, self.padding)
        shares = shares / shares.sum()
        distance = F.mse_loss if self.kind == "l2" else F.smooth_l1_loss
        parts = {"embedding": (distance(student, teacher, reduction="none").mean(dim=1) * shares).sum()}
        total = parts["embedding"]
        if self.cosine:
            parts["cosine"] = ((1 - F.cosine_similarity(student, teacher, dim=1)) * shares).sum()
            total = total + self.cosine * parts["cosine"]
        return {"loss": total, **parts}


class EmbeddingScores:
    """How close the student's embeddings are to the teacher's, computed as in prediction.

    Args:
        images: images with the teacher's embeddings.
        manifest: the student's manifest.
        device: device that the student runs on.
    """

    def __init__(self, images: EmbeddedImages, manifest: Manifest, device: str) -> None:
        self._images = images
        self._manifest = manifest
        self._device = device

    def __call__(self, student: nn.Module) -> dict[str, float]:
        """Averages over covered cells, then over images.

        Returns:
            "mse", the squared error, and "cosine", in percent.
        """
        runtime = EagerRuntime(student, self._manifest, device=self._device)
        scores = []
        for index in range(len(self._images)):
            image, teacher, covered = self._images[index]
            embedding = runtime.run("encode_image", {"image": image[None]})["embedding"][0][:, covered]
            truth = teacher[:, covered].astype(np.float32)
            norms = np.linalg.norm(embedding, axis=0) * np.linalg.norm(truth, axis=0)
            cosine = (embedding * truth).sum(axis=0) / np.maximum(norms, 1e-12)
            scores.append((np.square(embedding - truth).mean(), 100 * cosine.mean()))
        mse, cosine = np.mean(scores, axis=0).tolist()
        return {"mse": mse, "cosine": cosine}


def copy_prompt_parts(student: PromptableModel, teacher: PromptableModel) -> None:
    """Copies the teacher's prompt encoder and mask decoder into the student and freezes them."""
    for name in ("prompt_encoder", "mask_decoder"):
        part = getattr(student, name)
        part.load_state_dict(getattr(teacher, name).state_dict())
        part.requires_grad_(False)


def match_scale(student: PromptableModel, images: EmbeddedImages, *, count: int = 32) -> None:
    """Initializes the student's last norm with the means and standard deviations of the teacher's channels.

    Otherwise its embeddings start with a standard deviation of 1, while MobileSAM's is 0.1, and it takes hundreds
    of steps to shrink them.

    Args:
        student: its image encoder must end in a norm.
        images: images with the teacher's embeddings.
        count: largest number of images to measure.
    """
    norm = [layer for layer in student.image_encoder.modules() if isinstance(layer, ChannelNorm)][-1]
    indices = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int).tolist()
    seen = [embedding[:, covered] for _, embedding, covered in (images[index] for index in indices)]
    values = np.concatenate(seen, axis=1).astype(np.float32)
    with torch.no_grad():
        norm.weight.copy_(torch.from_numpy(values.std(axis=1)))
        norm.bias.copy_(torch.from_numpy(values.mean(axis=1)))
