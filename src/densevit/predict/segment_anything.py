"""Masks for prompts: an image is embedded once and then answers any number of points, boxes and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest
from densevit.imaging import DEFAULT_MAX_PIXELS, ImageError, ImageSource
from densevit.predict.decoding import decode
from densevit.predict.everything import EverythingOptions, find_everything
from densevit.predict.model import Model, explain_memory
from densevit.runtimes.base import Runtime
from densevit.tasks.mask_result import Mask, MasksResult
from densevit.tasks.promptable import Promptable, Scene
from densevit.tasks.prompts import convert_prompts

IMAGES_AT_ONCE = 4
"""Embedded in one call of the runtime."""


class SegmentAnything:
    """A promptable model; it keeps no state, the caller keeps the scene.

    Args:
        task: an image becomes a scene.
        runtime: runs the image encoder and the mask decoder.
        manifest: of the model.
    """

    def __init__(self, task: Promptable, runtime: Runtime, manifest: Manifest) -> None:
        self.task = task
        self.runtime = runtime
        self.manifest = manifest
        self._encoder: Model[Scene] = Model(task, runtime, manifest)

    def __repr__(self) -> str:
        runtime = self.runtime
        return f"SegmentAnything({self.manifest.name}, {runtime.name}, {runtime.precision}, {runtime.device})"

    def stream(
        self, sources: Iterable[ImageSource], *, max_pixels: int = DEFAULT_MAX_PIXELS, prefetch: int = 3
    ) -> Iterator[Scene | ImageError]:
        """Scenes in the order of the sources; see `Model.stream`."""
        return self._encoder.stream(sources, max_pixels=max_pixels, prefetch=prefetch)

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
            return self._encoder.predict(source, max_pixels=max_pixels)
        scenes: list[Scene] = []
        for first in range(0, len(source), IMAGES_AT_ONCE):
            scenes += self._encoder.predict_batch(source[first : first + IMAGES_AT_ONCE], max_pixels=max_pixels)
        return scenes

    def predict(
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
            for first, logits, scores in decode(self.runtime, scene, prompts, multimask=several):
                if keep_logits:
                    kept.append(logits.reshape(-1, *logits.shape[2:]))
                for index in np.ndindex(scores.shape):
                    rle = upsampling.above(logits[index]).encode(scene.placement.image)
                    found.append(Mask(rle, float(scores[index]), prompt=first + index[0]))
        size = scene.placement.image
        stacked = _stack(kept) if keep_logits else None
        return MasksResult(tuple(found), size, scene.image, stacked)

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
            yield from find_everything(self.task, self.runtime, self.encode, scene, options, progress)

    def _explain_memory(self, scene: Scene) -> AbstractContextManager[None]:
        return explain_memory(f"image of {scene.placement.image}", self.task.memory_advice)


def _stack(logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(logits) if logits else np.zeros((0, 256, 256), np.float32)
