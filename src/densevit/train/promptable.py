"""End-to-end training of promptable models: images with prompts for their objects, and the trained module.

EfficientViT-SAM's second stage (arXiv 2402.05008, section 3.2): each image gets random boxes or random points as
prompts; each step trains either the mask for unambiguous prompts or the three for ambiguous ones.
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
"""Half of a cell's 255: an object that covers less than half of every cell is left out."""


@dataclass(frozen=True)
class Prompting:
    """How prompts are drawn for an image.

    Attributes:
        masks: largest number of objects per image, chosen at random.
        boxes: share of the images with box prompts; the others get points.
        points: largest number of points per object; each image draws its number uniformly from 1 to this.
        multimask: share of the steps that train the three masks for ambiguous prompts.
        flip: mirror an image with probability 0.5.
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
            raise UsageError(f"boxes and multimask are shares in [0, 1], got {self.boxes} and {self.multimask}")


@dataclass(frozen=True)
class PromptedImage:
    """An image and N prompts of P points each, one prompt per object.

    Attributes:
        image: (3, S, S) float32, normalized.
        points: (N, P, 2) float32 (x, y) in pixels of the 1024 x 1024 frame.
        labels: (N, P) float32, see `densevit.tasks.prompts`.
        masks: (N, 256, 256) uint8, see `Coverage`; 64 KiB each for any image size.
    """

    image: NDArray[np.float32]
    points: NDArray[np.float32]
    labels: NDArray[np.float32]
    masks: NDArray[np.uint8]


@dataclass(frozen=True)
class _Object:
    """A mask, cropped to its bounding box, in pixels of the image."""

    window: NDArray[np.bool_]
    top: int
    left: int

    def box(self) -> NDArray[np.float64]:
        """(2, 2) corners (x, y), the lower right one exclusive."""
        height, width = self.window.shape
        return np.array([[self.left, self.top], [self.left + width, self.top + height]], np.float64)

    def draw_points(self, count: int, chance: np.random.Generator) -> NDArray[np.float64]:
        """Draws (count, 2) pixels (x, y) of the mask, with replacement."""
        rows, columns = np.divmod(chance.choice(np.flatnonzero(self.window), count), self.window.shape[1])
        return np.stack([columns + self.left, rows + self.top], axis=1).astype(np.float64)


class PromptedImages:
    """Images with random prompts for some of their objects.

    An image without a usable object is replaced by the next image that has one.

    Args:
        data: images with outlined objects.
        task: the model's preprocessing.
        device: device of the batches.
        prompting: how prompts are drawn.
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
        """Number of images."""
        return len(self._data)

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        """Makes a batch of images and their prompts; T is the total number of prompts.

        Returns:
            "image" (B, 3, S, S) float32 normalized; "points" (T, P, 2) and "labels" (T, P) float32, filled up
            with padding points; "masks" (T, 256, 256) uint8; "prompts" and "tokens" (B,) int64 on the CPU, each
            image's number of prompts and its own P; "multimask" (1,) bool on the CPU.

        Raises:
            DataError: no image has a usable object, or reading a sample fails.
        """
        several = torch.rand(1, generator=generator) < self._prompting.multimask
        seeds = torch.randint(2**62, (len(indices),), generator=generator).tolist()
        images = list(self._readers.map(self.prompt_image, indices, seeds))
        longest = max(image.labels.shape[1] for image in images)
        fields = {
            "image": np.stack([image.image for image in images]),
            "points": np.concatenate([_pad(image.points, longest, 0) for image in images]),
            "labels": np.concatenate([_pad(image.labels, longest, NOT_A_POINT) for image in images]),
            "masks": np.concatenate([image.masks for image in images]),
        }
        return {
            **{name: torch.from_numpy(array).to(self._device) for name, array in fields.items()},
            "prompts": torch.tensor([len(image.labels) for image in images]),
            "tokens": torch.tensor([image.labels.shape[1] for image in images]),
            "multimask": several,
        }

    def prompt_image(self, index: int, seed: int) -> PromptedImage:
        """One image with prompts; they depend only on the seed.

        Raises:
            DataError: no image has a usable object, or reading a sample fails.
        """
        for step in range(len(self)):
            sample = self._data[(index + step) % len(self)]
            if sample.masks and (found := self._prompt_sample(sample, np.random.default_rng(seed))):
                return found
        raise DataError("no image of this data has an object that is large enough to find; check the folder")

    def _prompt_sample(self, sample: PromptableSample, chance: np.random.Generator) -> PromptedImage | None:
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
            found = _crop_object(sample.masks[number], mirrored=mirrored)
            cells = coverage(found.window, found.top, found.left)
            if cells.max() < _HALF:
                continue
            objects.append(found)
            masks.append(cells)
            if len(masks) == prompting.masks:
                break
        if not masks:
            return None
        points, labels = self._draw_prompts(objects, placement.image, content, chance)
        return PromptedImage(tensors["image"][0], points, labels, np.stack(masks))

    def _draw_prompts(
        self, objects: list[_Object], image: Size, content: Size, chance: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if chance.random() < self._prompting.boxes:
            points = np.stack([one.box() for one in objects])
            kinds = [TOP_LEFT, BOTTOM_RIGHT]
        else:
            count = int(chance.integers(1, self._prompting.points, endpoint=True))
            # points without a box are followed by a padding point, as in prediction
            points = np.stack([_pad(one.draw_points(count, chance)[None], count + 1, 0)[0] for one in objects])
            kinds = [FOREGROUND] * count + [NOT_A_POINT]
        scale = np.array([content.width / image.width, content.height / image.height])
        labels = np.tile(np.array(kinds, np.float32), (len(objects), 1))
        return (points * scale).astype(np.float32), labels


def _crop_object(mask: RLE, *, mirrored: bool) -> _Object:
    x0, y0, x1, y1 = mask.box
    window = mask.decode()[y0:y1, x0:x1]
    return _Object(window[:, ::-1], y0, mask.size[1] - x1) if mirrored else _Object(window, y0, x0)


def _pad(array: NDArray[np.generic], length: int, value: float) -> NDArray[np.generic]:
    """(N, P, ...) -> (N, length, ...), padded with `value` at the end."""
    widths = [(0, 0), (0, length - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, widths, constant_values=value)


class PromptTraining(nn.Module):
    """A promptable model for training: takes images and their prompts, returns all masks and scores.

    One call uses every trained weight, as DistributedDataParallel requires. The layers that read mask prompts are
    frozen, because training has no mask prompts. The biases of the attentions' keys are frozen too: they add the
    same value to all scores of a query, which softmax cancels.

    Args:
        network: the model.
        trained: the trained part; "decoder" is everything except the image encoder, whose BatchNorm statistics are
            then frozen too.
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
        """As for any module, but a frozen image encoder stays in evaluation mode."""
        super().train(mode)
        if self.trained == "decoder":
            self.network.image_encoder.eval()
        return self

    def forward(
        self, image: Tensor, points: Tensor, labels: Tensor, prompts: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Images and prompts as `PromptedImages.batch` returns them.

        Args:
            image: (B, 3, S, S).
            points: (T, P, 2).
            labels: (T, P).
            prompts: (B,) number of prompts of each image; their sum is T.
            tokens: (B,) number of points per prompt of each image; the padding behind is not read.

        Returns:
            Logits (T, 4, 256, 256) and predicted IoUs (T, 4).
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
