"""Training of promptable models end to end: images with prompts for their objects, and the model that learns.

EfficientViT-SAM's second stage (arXiv 2402.05008, section 3.2): the prompts of an image are boxes or points by
chance; of the model's masks either the one for clear prompts counts, or the three for ambiguous ones.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from densevit.core.errors import UsageError
from densevit.data.base import DataError, PromptableData, PromptableSample
from densevit.imaging import Size
from densevit.masks import RLE
from densevit.models.build import PromptableModel
from densevit.tasks.promptable import Promptable
from densevit.tasks.prompts import MAX_POINTS
from densevit.train.coverage import Coverage
from densevit.variants.segment_anything import BOTTOM_RIGHT, FOREGROUND, NOT_A_POINT, TOP_LEFT

Part = Literal["all", "encoder", "decoder"]

_HALF = 128
"""Of a cell's 255: an object that covers half of no cell cannot be found, and is left out."""


@dataclass(frozen=True)
class Prompting:
    """What is asked about an image.

    Attributes:
        masks: at most so many objects of an image, chosen by chance.
        boxes: share of the images whose prompts are boxes; those of others are points.
        points: at most so many per object; how many is one number per image, drawn evenly from 1 on.
        multimask: share of the steps in which the three masks for ambiguous prompts count.
        flip: mirror every other image.
    """

    masks: int = 64
    boxes: float = 0.5
    points: int = 10
    multimask: float = 0.5
    flip: bool = True

    def __post_init__(self) -> None:
        if self.masks < 1 or not 1 <= self.points <= MAX_POINTS:
            raise UsageError(
                f"masks must be at least 1 and points 1 to {MAX_POINTS}, got {self.masks} and {self.points}"
            )
        if not (0 <= self.boxes <= 1 and 0 <= self.multimask <= 1):
            raise UsageError(f"boxes and multimask are shares 0..1, got {self.boxes} and {self.multimask}")


@dataclass(frozen=True)
class PromptedImage:
    """An image and N prompts of P points each, one prompt per object.

    Attributes:
        image: (3, S, S) float32, normalized.
        points: (N, P, 2) float32 (x, y) in pixels of the frame of 1024.
        labels: (N, P) float32, see `densevit.tasks.prompts`.
        masks: (N, 256, 256) uint8, see `Coverage`: 64 KiB each, however large the image.
    """

    image: NDArray[np.float32]
    points: NDArray[np.float32]
    labels: NDArray[np.float32]
    masks: NDArray[np.uint8]


@dataclass(frozen=True)
class _Object:
    """A mask as the window that holds it, in pixels of the image."""

    window: NDArray[np.bool_]
    top: int
    left: int

    def box(self) -> NDArray[np.float64]:
        """(2, 2): its corners (x, y), the lower right one exclusive."""
        height, width = self.window.shape
        return np.array([[self.left, self.top], [self.left + width, self.top + height]], np.float64)

    def inside(self, count: int, chance: np.random.Generator) -> NDArray[np.float64]:
        """(count, 2) pixels (x, y) of the mask, each drawn from all of them."""
        rows, columns = np.divmod(chance.choice(np.flatnonzero(self.window), count), self.window.shape[1])
        return np.stack([columns + self.left, rows + self.top], axis=1).astype(np.float64)


class PromptedImages:
    """Images with random prompts for some of their objects.

    An image without an object that could be found gives way to the next one that has some.

    Args:
        data: images with outlined objects.
        task: the model's preprocessing.
        device: where batches are made.
        prompting: what is asked.
    """

    def __init__(
        self, data: PromptableData, task: Promptable, *, device: torch.device, prompting: Prompting
    ) -> None:
        self._data = data
        self._task = task
        self._device = device
        self._prompting = prompting
        self._readers = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    def __len__(self) -> int:
        """How many images."""
        return len(self._data)

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        """Some images with their prompts, those of all images one after another, T of them in all.

        Returns:
            "image" (B, 3, S, S) float32 normalized; "points" (T, P, 2) and "labels" (T, P) float32, filled up with
            points that are none; "masks" (T, 256, 256) uint8; "prompts" and "tokens" (B,) int64 on the CPU, each
            image's number of prompts and its own P; "multimask" (1,) bool on the CPU.

        Raises:
            DataError: no image has an object, or what the data say.
        """
        several = torch.rand(1, generator=generator) < self._prompting.multimask
        seeds = torch.randint(2**62, (len(indices),), generator=generator).tolist()
        images = list(self._readers.map(self.prompted, indices, seeds))
        longest = max(image.labels.shape[1] for image in images)
        fields = {
            "image": np.stack([image.image for image in images]),
            "points": np.concatenate([_filled(image.points, longest, 0) for image in images]),
            "labels": np.concatenate([_filled(image.labels, longest, NOT_A_POINT) for image in images]),
            "masks": np.concatenate([image.masks for image in images]),
        }
        return {
            **{name: torch.from_numpy(array).to(self._device) for name, array in fields.items()},
            "prompts": torch.tensor([len(image.labels) for image in images]),
            "tokens": torch.tensor([image.labels.shape[1] for image in images]),
            "multimask": several,
        }

    def prompted(self, index: int, seed: int) -> PromptedImage:
        """One image; all that is random about it depends on the seed alone.

        Raises:
            DataError: no image has an object, or what the data say.
        """
        for step in range(len(self)):
            sample = self._data[(index + step) % len(self)]
            if sample.masks and (found := self._of_sample(sample, np.random.default_rng(seed))):
                return found
        raise DataError("no image of these data has an object that could be found; is it the right folder?")

    def _of_sample(self, sample: PromptableSample, chance: np.random.Generator) -> PromptedImage | None:
        prompting = self._prompting
        mirrored = prompting.flip and bool(chance.random() < 0.5)
        image = np.ascontiguousarray(sample.image[:, ::-1]) if mirrored else sample.image
        tensors, placement = self._task.preprocess(image)
        content = self._task.content_in_frame(placement)
        coverage = Coverage(content, placement.image)
        objects, masks = [], []
        for number in chance.permutation(len(sample.masks)):
            if sample.masks[number].area == 0:
                continue
            found = _object(sample.masks[number], mirrored=mirrored)
            cells = coverage(found.window, found.top, found.left)
            if cells.max() < _HALF:
                continue
            objects.append(found)
            masks.append(cells)
            if len(masks) == prompting.masks:
                break
        if not masks:
            return None
        points, labels = self._prompts(objects, placement.image, content, chance)
        return PromptedImage(tensors["image"][0], points, labels, np.stack(masks))

    def _prompts(
        self, objects: list[_Object], image: Size, content: Size, chance: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if chance.random() < self._prompting.boxes:
            points = np.stack([one.box() for one in objects])
            kinds = [TOP_LEFT, BOTTOM_RIGHT]
        else:
            count = int(chance.integers(1, self._prompting.points, endpoint=True))
            # points without a box are followed by one that is none, as in predicting
            points = np.stack([_filled(one.inside(count, chance)[None], count + 1, 0)[0] for one in objects])
            kinds = [FOREGROUND] * count + [NOT_A_POINT]
        scale = np.array([content.width / image.width, content.height / image.height])
        labels = np.tile(np.array(kinds, np.float32), (len(objects), 1))
        return (points * scale).astype(np.float32), labels


def _object(mask: RLE, *, mirrored: bool) -> _Object:
    x0, y0, x1, y1 = mask.box
    window = mask.decode()[y0:y1, x0:x1]
    return _Object(window[:, ::-1], y0, mask.size[1] - x1) if mirrored else _Object(window, y0, x0)


def _filled(array: NDArray[np.generic], length: int, value: float) -> NDArray[np.generic]:
    """(N, P, ...) -> (N, length, ...), with `value` behind what is there."""
    behind = [(0, 0), (0, length - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, behind, constant_values=value)


class PromptTraining(nn.Module):
    """A promptable model as training runs it: images and their prompts in, all masks and scores out.

    One call uses every weight that learns, which is what DistributedDataParallel asks for. The layers that read
    mask prompts stay as they are: training gives none. So do the biases of the attentions' keys: they add the same
    to all that a query is compared with, which the softmax takes away again.

    Args:
        network: the model that is trained.
        trained: the part of it that learns: "decoder" is all but the image encoder, whose BatchNorm statistics
            then stay as they are too.
    """

    def __init__(self, network: PromptableModel, *, trained: Part = "all") -> None:
        super().__init__()
        self.network = network
        self.trained = trained
        network.requires_grad_(True)
        network.image_encoder.requires_grad_(trained != "decoder")
        network.prompt_encoder.requires_grad_(trained != "encoder")
        network.mask_decoder.requires_grad_(trained != "encoder")
        network.prompt_encoder.mask_downscaling.requires_grad_(False)
        for name, weight in network.mask_decoder.named_parameters():
            if name.endswith("k_proj.bias"):
                weight.requires_grad_(False)

    def train(self, mode: bool = True) -> PromptTraining:
        """As of any module, but an image encoder that does not learn stays as in use."""
        super().train(mode)
        if self.trained == "decoder":
            self.network.image_encoder.eval()
        return self

    def forward(
        self, image: Tensor, points: Tensor, labels: Tensor, prompts: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Images and prompts as of `PromptedImages.batch`.

        Args:
            image: (B, 3, S, S).
            points: (T, P, 2).
            labels: (T, P).
            prompts: (B,) number of each image's prompts, T together.
            tokens: (B,) number of each image's points per prompt; those behind are not read.

        Returns:
            Logits (T, 4, 256, 256) and predicted intersections over union (T, 4).
        """
        network = self.network
        embeddings = network(image.contiguous(memory_format=torch.channels_last))
        positions = network.prompt_encoder.dense_positions()
        nothing = network.prompt_encoder.embed_no_mask()
        found, first = [], 0
        for embedding, count, length in zip(embeddings, prompts.tolist(), tokens.tolist(), strict=True):
            rows = slice(first, first + count)
            sparse = network.prompt_encoder.embed_points(points[rows, :length], labels[rows, :length])
            found.append(network.mask_decoder(embedding[None], positions, sparse, nothing))
            first += count
        masks, scores = zip(*found, strict=True)
        return torch.cat(masks), torch.cat(scores)
