"""Masks of everything in an image, as Segment Anything's generator finds them (arXiv 2304.02643, appendix B)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from densevit.imaging import ImageSource, Size
from densevit.masks import RLE, encode_window, non_maximum_suppression
from densevit.predict.grid import Crop, build_point_grid, generate_crops, touches_crop_edge
from densevit.predict.proposals import Proposal, Sieve, Survivor
from densevit.tasks.mask_result import Mask
from densevit.tasks.promptable import Promptable, Scene
from densevit.tasks.prompts import Prompts, prompts_in_frame

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EverythingOptions:
    """What is looked for; defaults are those of Segment Anything's generator."""

    points_per_side: int = 32  # of the grid over the whole image
    pred_iou_threshold: float = 0.88  # masks of no higher predicted quality are dropped
    stability_threshold: float = 0.95  # least share of a mask that stays when the logits' threshold moves
    stability_offset: float = 1.0  # by how much it moves, up and down
    box_nms_threshold: float = 0.7  # largest overlap of boxes within a crop
    crop_layers: int = 0  # layers of crops beyond the whole image, for small objects: 2x2, 4x4, ...
    crop_nms_threshold: float = 0.7  # largest overlap of boxes between crops; smaller crops go first
    crop_overlap_ratio: float = 512 / 1500  # of the image's shorter side
    crop_points_downscale: int = 1  # layer n has points_per_side divided by the n-th power of this

    def __post_init__(self) -> None:
        if not 1 <= self.points_per_side <= 512:
            raise ValueError(f"points_per_side must be 1 to 512, got {self.points_per_side}")
        if not 0 <= self.crop_layers <= 4:
            raise ValueError(f"crop_layers must be 0 to 4, got {self.crop_layers}")
        if not 1 <= self.crop_points_downscale <= 512:
            raise ValueError(f"crop_points_downscale must be 1 to 512, got {self.crop_points_downscale}")
        if not 0 <= self.stability_offset < 100:
            raise ValueError(f"stability_offset must be 0 to 100, got {self.stability_offset}")
        if not 0 <= self.crop_overlap_ratio < 1:
            raise ValueError(f"crop_overlap_ratio must be in [0, 1), got {self.crop_overlap_ratio}")
        for name in ("pred_iou_threshold", "stability_threshold", "box_nms_threshold", "crop_nms_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")

    def points_of(self, layer: int) -> int:
        """Points per side in crops of a layer, at least 1."""
        return max(1, int(self.points_per_side / self.crop_points_downscale**layer))

    @property
    def points_in_all(self) -> int:
        """Points of all crops of all layers; layer n has 2^n x 2^n crops."""
        return sum(4**layer * self.points_of(layer) ** 2 for layer in range(self.crop_layers + 1))


class Prompted(Protocol):
    """A promptable model: `densevit.predict.segment_anything.SegmentAnything` is one."""

    @property
    def task(self) -> Promptable:
        """Its numpy side."""
        ...

    def encode(self, source: ImageSource) -> Scene:
        """Embeds an image."""
        ...

    def propose(
        self, scene: Scene, prompts: Prompts, *, least_score: float
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]]:
        """Masks of the prompts that have a good one: their numbers, logits (n, 3, 256, 256), scores (n, 3)."""
        ...


def everything(model: Prompted, scene: Scene, options: EverythingOptions, progress: Progress) -> Iterator[Mask]:
    """Masks, best first within a crop; without further crops each is given as soon as it is certain.

    Args:
        model: answers points.
        scene: the image; with `crop_layers` it must hold the image itself.
        options: what is looked for.
        progress: called with (points done, points in all).

    Raises:
        ValueError: crops of a scene that holds no image.
    """
    image = scene.placement.image
    crops = generate_crops(image, options.crop_layers, options.crop_overlap_ratio)
    if len(crops) > 1 and scene.image is None:
        raise ValueError("this scene holds no image to cut crops from; encode the image, or set crop_layers=0")
    done = 0

    def advance(points: int) -> None:
        nonlocal done
        done += points
        progress(done, options.points_in_all)

    if len(crops) == 1:
        yield from _in_crop(model, scene, crops[0], image, options, advance)
        return
    found: list[Mask] = []
    for crop in crops:
        part = scene
        if crop.layer:
            assert scene.image is not None
            part = model.encode(np.ascontiguousarray(scene.image[crop.y0 : crop.y1, crop.x0 : crop.x1]))
        found += _in_crop(model, part, crop, image, options, advance)
    yield from _across_crops(found, options.crop_nms_threshold)


def _in_crop(
    model: Prompted,
    scene: Scene,
    crop: Crop,
    image: Size,
    options: EverythingOptions,
    advance: Callable[[int], None],
) -> Iterator[Mask]:
    size = scene.placement.image
    points = build_point_grid(size, options.points_of(crop.layer))
    proposals = _proposals(model, scene, points, options, advance)
    sieve = Sieve(
        model.task.upsampling(scene.placement),
        options.stability_threshold,
        options.stability_offset,
        options.box_nms_threshold,
    )

    def accepts(box: tuple[int, int, int, int]) -> bool:
        x0, y0, x1, y1 = box
        moved = (x0 + crop.x0, y0 + crop.y0, x1 + crop.x0, y1 + crop.y0)
        return not touches_crop_edge(moved, crop, image)

    for survivor in sieve.survivors(proposals, accepts):
        yield _mask(survivor, points, crop, image)


def _proposals(
    model: Prompted,
    scene: Scene,
    points: NDArray[np.float64],
    options: EverythingOptions,
    advance: Callable[[int], None],
) -> list[Proposal]:
    prompts = prompts_in_frame(
        scene.placement.image, model.task.content_in_frame(scene.placement), points=points[:, None]
    )
    found = []
    done = 0
    for numbers, logits, scores in model.propose(scene, prompts, least_score=options.pred_iou_threshold):
        for row, column in np.argwhere(scores > options.pred_iou_threshold):
            proposal = Proposal.of(
                logits[row, column],
                float(scores[row, column]),
                int(numbers[row]),
                lowest=-options.stability_offset,
            )
            if proposal is not None:
                found.append(proposal)
        # prompts come in order; what is left out is done too
        advance(int(numbers[-1]) + 1 - done)
        done = int(numbers[-1]) + 1
    advance(len(points) - done)
    return found


def _mask(survivor: Survivor, points: NDArray[np.float64], crop: Crop, image: Size) -> Mask:
    x, y = points[survivor.proposal.point]
    rle = survivor.rle
    if tuple(rle.size) != tuple(image):
        rle = _moved(rle, crop, image)
    return Mask(
        rle,
        survivor.proposal.score,
        prompt=survivor.proposal.point,
        stability=survivor.stability,
        point=(float(x) + crop.x0, float(y) + crop.y0),
        crop=crop.box,
    )


def _moved(rle: RLE, crop: Crop, image: Size) -> RLE:
    """A crop's mask in the image."""
    return encode_window(rle.decode(), crop.y0, crop.x0, (image.height, image.width))


def _across_crops(masks: list[Mask], threshold: float) -> Iterator[Mask]:
    """Where crops show the same, the smaller crop's mask stays."""
    if not masks:
        return
    boxes = np.array([mask.box for mask in masks], np.float64)
    boxes[:, 2:] -= 1
    crops = np.array([mask.crop for mask in masks], np.float64)
    areas = (crops[:, 2] - crops[:, 0]) * (crops[:, 3] - crops[:, 1])
    for index in non_maximum_suppression(boxes, 1 / areas, threshold):
        yield masks[index]
