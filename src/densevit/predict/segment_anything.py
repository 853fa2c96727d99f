"""Masks for prompts: an image is embedded once and then answers any number of points, boxes and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from densevit.core.errors import UsageError
from densevit.imaging import DEFAULT_MAX_PIXELS, ImageSource
from densevit.predict.everything import EverythingOptions, find_everything
from densevit.predict.model import Model, explain_memory
from densevit.tasks.base import check_finite
from densevit.tasks.mask_result import Mask, MasksResult
from densevit.tasks.promptable import Promptable, Scene
from densevit.tasks.prompts import Prompts, convert_prompts, select_masks

PROMPTS_AT_ONCE = 32
"""Decoded in one call of the runtime; each needs about 20 MB."""
IMAGES_AT_ONCE = 4
"""Embedded in one call of the runtime."""


class SegmentAnything(Model[Any]):
    """A promptable model; it keeps no state, the caller keeps the scene.

    `stream` and `predict_batch` take no prompts and give scenes.
    """

    task: Promptable

    @overload
    def encode(self, source: ImageSource, *, max_pixels: int = ...) -> Scene: ...

    @overload
    def encode(self, source: list[Any], *, max_pixels: int = ...) -> list[Scene]: ...

    def encode(
        self, source: ImageSource | list[Any], *, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> Scene | list[Scene]:
        """Embeds an image, or several in small batches.

        Args:
            source: a path, a PIL image, a (H, W, 3) uint8 RGB array, or a list of them.
            max_pixels: larger files are refused before they are decoded.

        Raises:
            ImageError: an image cannot be read or used.
        """
        if not isinstance(source, list):
            (scene,) = self.predict_batch([source], max_pixels=max_pixels)
            assert isinstance(scene, Scene)
            return scene
        scenes: list[Scene] = []
        for first in range(0, len(source), IMAGES_AT_ONCE):
            scenes += self.predict_batch(source[first : first + IMAGES_AT_ONCE], max_pixels=max_pixels)
        return scenes

    def predict(  # type: ignore[override]
        self,
        source: ImageSource | Scene,
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        multimask: bool | None = None,
        keep_logits: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> MasksResult:
        """The masks of N prompts; all coordinates are (x, y) in pixels of the image.

        A prompt may combine points, a box and a mask.

        Args:
            source: an image, or a scene from `encode`.
            points: (P, 2) of one prompt, or (N, P, 2).
            labels: (P,) or (N, P): 1 foreground, 0 background, -1 padding; all 1 when None.
            boxes: (4,) or (N, 4): left, top, right, bottom; parts beyond the image are cut off.
            mask: (256, 256) or (N, 256, 256) logits of an earlier result (`keep_logits`).
            multimask: three masks per prompt, for whole, part and subpart, or one; None gives three where every
                prompt is a single point, which may mean any of them, and one otherwise.
            keep_logits: keep the (256, 256) logits of each mask, 256 KB each.
            max_pixels: as `encode`.

        Returns:
            Masks in the order of the prompts; `result.best()` keeps the best one of each.

        Raises:
            UsageError: prompts that are not valid for any image, see `densevit.tasks.prompts`.
            InputError: points or boxes outside this image.
            ImageError: as `encode`, or memory does not suffice.
        """
        if isinstance(source, list):
            raise UsageError("prompts are for one image; call predict for each, or encode for a list of scenes")
        scene = source if isinstance(source, Scene) else self.encode(source, max_pixels=max_pixels)
        prompts = convert_prompts(
            scene.placement.image,
            self.task.content_in_frame(scene.placement),
            points=points,
            labels=labels,
            boxes=boxes,
            mask=mask,
        )
        several = prompts.ambiguous if multimask is None else multimask
        upsampling = self.task.upsampling(scene.placement)
        found: list[Mask] = []
        kept: list[NDArray[np.float32]] = []
        with self._explain_memory(scene):
            for first, logits, scores in self.decode(scene, prompts, multimask=several):
                if keep_logits:
                    kept.append(logits.reshape(-1, *logits.shape[2:]))
                for index in np.ndindex(scores.shape):
                    rle = upsampling.above(logits[index]).encode(scene.placement.image)
                    found.append(Mask(rle, float(scores[index]), prompt=first + index[0]))
        size = scene.placement.image
        stacked = _stack(kept) if keep_logits else None
        return MasksResult(tuple(found), size, scene.image, stacked)

    def decode(
        self, scene: Scene, prompts: Prompts, *, multimask: bool
    ) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
        """The outputs of the decoder, some prompts at a time, so that memory does not grow with their number.

        Args:
            scene: of the prompts.
            prompts: in the frame.
            multimask: whether to give three masks per prompt.

        Yields:
            Number of the first prompt, logits (n, M, 256, 256), predicted intersection over union (n, M).

        Raises:
            InputError: scores that are not finite.
        """
        function = "decode_masks" if prompts.masks is None else "refine_masks"
        embedding = scene.embedding[None]
        for first, count in _split(len(prompts)):
            tensors = {"embedding": embedding, **prompts.tensors(first, count)}
            raw = self.runtime.run(function, tensors)
            check_finite(raw["scores"])
            yield first, *select_masks(raw, multimask=multimask)

    def propose(
        self, scene: Scene, prompts: Prompts, *, least_score: float
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]]:
        """The outputs of the decoder for only those prompts that have a good mask, some prompts at a time.

        Args:
            scene: of the prompts.
            prompts: points and boxes in the frame, no masks.
            least_score: a prompt is left out if none of its three masks scores higher.

        Yields:
            Numbers of the prompts that are kept, at least one each time; their logits (n, 3, 256, 256) and scores
            (n, 3).
        """
        least = np.array([least_score], np.float32)
        for first, count in _split(len(prompts)):
            tensors = {"embedding": scene.embedding[None], **prompts.tensors(first, count)}
            raw = self.runtime.run("propose_masks", {**tensors, "least_score": least})
            check_finite(raw["scores"])
            scores = raw["scores"][:, 1:]
            good = scores.max(axis=1) > least
            good[0] = True
            (rows,) = np.nonzero(good)
            yield first + rows, raw["masks"][:, 1:], scores[rows]

    def everything(
        self,
        source: ImageSource | Scene,
        options: EverythingOptions | None = None,
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Iterator[Mask]:
        """Masks of everything in an image, found by a grid of points; each comes as soon as it is certain.

        Args:
            source: an image, or a scene from `encode`.
            options: where to look and which masks to keep; Segment Anything's defaults when None.
            progress: called with (points done, points in all).
            max_pixels: as `encode`.

        Yields:
            Masks, the model's best first. `MasksResult(tuple(masks), scene.placement.image, scene.image)`
            draws and writes them.

        Raises:
            UsageError: `crop_layers` with a scene that does not hold its image.
            ImageError: as `encode`, or memory does not suffice.
        """
        scene = source if isinstance(source, Scene) else self.encode(source, max_pixels=max_pixels)
        return self._find_everything(scene, options or EverythingOptions(), progress)

    def _find_everything(
        self, scene: Scene, options: EverythingOptions, progress: Callable[[int, int], None]
    ) -> Iterator[Mask]:
        with self._explain_memory(scene):
            yield from find_everything(self, scene, options, progress)

    def _explain_memory(self, scene: Scene) -> AbstractContextManager[None]:
        return explain_memory(f"image of {scene.placement.image}", self.task.memory_advice)


def _split(prompts: int) -> Iterator[tuple[int, int]]:
    """(first, count) of parts, large and about equal: a runtime is fastest with shapes that it has compiled."""
    parts = -(-prompts // PROMPTS_AT_ONCE)
    size = -(-prompts // parts) if parts else 1
    for first in range(0, prompts, size):
        yield first, min(size, prompts - first)


def _stack(logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(logits) if logits else np.zeros((0, 256, 256), np.float32)
