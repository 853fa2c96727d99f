"""Masks for prompts: an image is embedded once, then any number of points, boxes and masks are select_masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from densevit.imaging import DEFAULT_MAX_PIXELS, ImageSource
from densevit.predict.everything import EverythingOptions, everything
from densevit.predict.model import Model
from densevit.tasks.mask_result import Mask, MasksResult
from densevit.tasks.promptable import Promptable, Scene
from densevit.tasks.prompts import Prompts, prompts_in_frame, select_masks

PROMPTS_AT_ONCE = 32
"""Decoded in one call of the runtime: each needs some 20 MB on its way."""
IMAGES_AT_ONCE = 4


class SegmentAnything(Model[Any]):
    """A promptable model; it remembers nothing, the scene is the caller's.

    `stream` and `predict_batch`, which know no prompts, give scenes.
    """

    task: Promptable

    @overload
    def encode(self, source: ImageSource, *, max_pixels: int = ...) -> Scene: ...

    @overload
    def encode(self, source: list[Any], *, max_pixels: int = ...) -> list[Scene]: ...

    def encode(
        self, source: ImageSource | list[Any], *, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> Scene | list[Scene]:
        """Embeds an image, or several, a few in one batch.

        Args:
            source: a path, a PIL image, a (H, W, 3) uint8 RGB array, or a list of such.
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

        A prompt is made of all that is given for it: points, a box, a mask.

        Args:
            source: an image, or a scene that `encode` gave.
            points: (P, 2) of one prompt, or (N, P, 2).
            labels: (P,) or (N, P): 1 belongs to the object, 0 does not, -1 is no point; all 1 when None.
            boxes: (4,) or (N, 4): left, top, right, bottom; what reaches beyond the image is cut off.
            mask: (256, 256) or (N, 256, 256) logits of an earlier answer (`keep_logits`).
            multimask: three masks per prompt, for whole, part and subpart, or one; None gives three where every
                prompt is a single point, which may mean any of them, and one otherwise.
            keep_logits: keep the (256, 256) logits of each mask, 256 KB apiece.
            max_pixels: as `encode`.

        Returns:
            Masks in the order of the prompts; `result.best()` leaves the best one of each.

        Raises:
            ValueError: prompts that make no sense, see `densevit.tasks.prompts`; the message says which and why.
            ImageError: as `encode`.
        """
        if isinstance(source, list):
            raise ValueError("prompts are for one image; call predict for each, or encode for a list of scenes")
        scene = source if isinstance(source, Scene) else self.encode(source, max_pixels=max_pixels)
        prompts = prompts_in_frame(
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
        for first, logits, scores in self.decode(scene, prompts, multimask=several):
            if keep_logits:
                kept.append(logits.reshape(-1, *logits.shape[2:]))
            for index in np.ndindex(scores.shape):
                rle = upsampling.above(logits[index]).encode(scene.placement.image)
                found.append(Mask(rle, float(scores[index]), prompt=first + index[0]))
        size = scene.placement.image
        stacked = _stacked(kept) if keep_logits else None
        return MasksResult(tuple(found), size, scene.image, stacked)

    def decode(
        self, scene: Scene, prompts: Prompts, *, multimask: bool
    ) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
        """The decoder's own answers, some prompts at a time, so that memory does not grow with their number.

        Args:
            scene: what the prompts are about.
            prompts: in the frame.
            multimask: three masks per prompt, or one.

        Yields:
            Number of the first prompt, logits (n, M, 256, 256), predicted intersections over union (n, M).
        """
        function = "decode_masks" if prompts.masks is None else "refine_masks"
        embedding = scene.embedding[None]
        for first, count in _portions(len(prompts)):
            tensors = {"embedding": embedding, **prompts.tensors(first, count)}
            yield first, *select_masks(self.runtime.run(function, tensors), multimask=multimask)

    def propose(
        self, scene: Scene, prompts: Prompts, *, least_score: float
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]]:
        """The decoder's answers to those prompts alone that have a good mask, some prompts at a time.

        Args:
            scene: what the prompts are about.
            prompts: points and boxes in the frame, no masks.
            least_score: a prompt none of whose three masks scores higher is left out.

        Yields:
            Numbers of the prompts that are not, at least one of each time; their logits (n, 3, 256, 256) and
            scores (n, 3).
        """
        least = np.array([least_score], np.float32)
        for first, count in _portions(len(prompts)):
            tensors = {"embedding": scene.embedding[None], **prompts.tensors(first, count)}
            raw = self.runtime.run("propose_masks", {**tensors, "least_score": least})
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
        """Masks of all there is in an image, by a grid of points; each as soon as it is certain.

        Args:
            source: an image, or a scene that `encode` gave.
            options: what is looked for; Segment Anything's defaults when None.
            progress: called with (points done, points in all).
            max_pixels: as `encode`.

        Yields:
            Masks, the model's best first. `MasksResult(tuple(masks), scene.placement.image, scene.image)`
            draws and writes them.

        Raises:
            ValueError: `crop_layers` with a scene that holds no image.
            ImageError: as `encode`.
        """
        scene = source if isinstance(source, Scene) else self.encode(source, max_pixels=max_pixels)
        return everything(self, scene, options or EverythingOptions(), progress)


def _portions(prompts: int) -> Iterator[tuple[int, int]]:
    """(first, count) of portions, large and about equal: a runtime is fastest with shapes that it knows."""
    portions = -(-prompts // PROMPTS_AT_ONCE)
    size = -(-prompts // portions) if portions else 1
    for first in range(0, prompts, size):
        yield first, min(size, prompts - first)


def _stacked(logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(logits) if logits else np.zeros((0, 256, 256), np.float32)
