"""Segment everything: masks of a grid of points, as by Segment Anything's generator (arXiv 2304.02643, app. B)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import UsageError
from densevit.imaging import Size
from densevit.masks import RLE, encode_window, non_maximum_suppression
from densevit.predict.decoding import propose
from densevit.predict.grid import Crop, build_point_grid, generate_crops, touches_crop_edge
from densevit.predict.proposals import Proposal, Sieve, Survivor
from densevit.runtimes.base import Runtime
from densevit.tasks.mask_result import Mask
from densevit.tasks.promptable import Promptable, Scene
from densevit.tasks.prompts import convert_prompts

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EverythingOptions:
    """Where to look and which masks to keep; defaults are those of Segment Anything's generator."""

    points_per_side: Annotated[int, "Points per side of the grid over the whole image."] = 32
    pred_iou_threshold: Annotated[float, "Masks with at most this predicted quality are dropped."] = 0.88
    stability_threshold: Annotated[
        float, "Smallest share of a mask that stays when the threshold of the logits moves."
    ] = 0.95
    stability_offset: Annotated[float, "How far that threshold moves, up and down."] = 1.0
    box_nms_threshold: Annotated[float, "Largest overlap of boxes within a crop."] = 0.7
    crop_layers: Annotated[int, "Layers of crops beyond the whole image, for small objects: 2x2, 4x4, ..."] = 0
    crop_nms_threshold: Annotated[float, "Largest overlap of boxes between crops; smaller crops win."] = 0.7
    crop_overlap_ratio: Annotated[float, "Overlap of crops, as a share of the image's shorter side."] = 512 / 1500
    crop_points_downscale: Annotated[
        int, "Crops of layer n have points_per_side divided by the n-th power of this."
    ] = 1

    def __post_init__(self) -> None:
        if not 1 <= self.points_per_side <= 512:
            raise UsageError(f"points_per_side must be 1 to 512, got {self.points_per_side}")
        if not 0 <= self.crop_layers <= 4:
            raise UsageError(f"crop_layers must be 0 to 4, got {self.crop_layers}")
        if not 1 <= self.crop_points_downscale <= 512:
            raise UsageError(f"crop_points_downscale must be 1 to 512, got {self.crop_points_downscale}")
        if not 0 <= self.stability_offset < 100:
            raise UsageError(f"stability_offset must be 0 to 100, got {self.stability_offset}")
        if not 0 <= self.crop_overlap_ratio < 1:
            raise UsageError(f"crop_overlap_ratio must be in [0, 1), got {self.crop_overlap_ratio}")
        for name in ("pred_iou_threshold", "stability_threshold", "box_nms_threshold", "crop_nms_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be in [0, 1], got {getattr(self, name)}")

    def points_of(self, layer: int) -> int:
        """Number of points per side in crops of a layer, at least 1."""
        return max(1, int(self.points_per_side / self.crop_points_downscale**layer))

    @property
    def points_in_all(self) -> int:
        """Number of points of all crops of all layers; layer n has 2^n x 2^n crops."""
        return sum(4**layer * self.points_of(layer) ** 2 for layer in range(self.crop_layers + 1))


def find_everything(
    task: Promptable,
    runtime: Runtime,
    encode: Callable[[NDArray[np.uint8]], Scene],
    scene: Scene,
    options: EverythingOptions,
    progress: Progress,
) -> Iterator[Mask]:
    """Finds masks, best first within a crop; without further crops each one comes as soon as it is certain.

    Args:
        task: of a promptable model.
        runtime: of the model; answers points.
        encode: embeds a crop.
        scene: the image; with `crop_layers` it must hold the image itself.
        options: where to look and which masks to keep.
        progress: called with (points done, points in all).

    Raises:
        UsageError: crops of a scene that does not hold its image.
    """
    image = scene.placement.image
    crops = generate_crops(image, options.crop_layers, options.crop_overlap_ratio)
    if len(crops) > 1 and scene.image is None:
        raise UsageError("this scene does not hold its image for crops; encode the image, or set crop_layers=0")
    done = 0

    def advance(points: int) -> None:
        nonlocal done
        done += points
        progress(done, options.points_in_all)

    if len(crops) == 1:
        yield from _search_crop(task, runtime, scene, crops[0], image, options, advance)
        return
    found: list[Mask] = []
    for crop in crops:
        part = scene
        if crop.layer:
            assert scene.image is not None
            part = encode(np.ascontiguousarray(scene.image[crop.y0 : crop.y1, crop.x0 : crop.x1]))
        found += _search_crop(task, runtime, part, crop, image, options, advance)
    yield from _merge_crops(found, options.crop_nms_threshold)


def _search_crop(
    task: Promptable,
    runtime: Runtime,
    scene: Scene,
    crop: Crop,
    image: Size,
    options: EverythingOptions,
    advance: Callable[[int], None],
) -> Iterator[Mask]:
    size = scene.placement.image
    points = build_point_grid(size, options.points_of(crop.layer))
    proposals = _collect_proposals(task, runtime, scene, points, options, advance)
    sieve = Sieve(
        task.upsampling(scene.placement),
        options.stability_threshold,
        options.stability_offset,
        options.box_nms_threshold,
    )

    def accepts(box: tuple[int, int, int, int]) -> bool:
        x0, y0, x1, y1 = box
        moved = (x0 + crop.x0, y0 + crop.y0, x1 + crop.x0, y1 + crop.y0)
        return not touches_crop_edge(moved, crop, image)

    for survivor in sieve.select(proposals, accepts):
        yield _make_mask(survivor, points, crop, image)


def _collect_proposals(
    task: Promptable,
    runtime: Runtime,
    scene: Scene,
    points: NDArray[np.float64],
    options: EverythingOptions,
    advance: Callable[[int], None],
) -> list[Proposal]:
    prompts = convert_prompts(
        scene.placement.image, task.content_in_frame(scene.placement), points=points[:, None]
    )
    found = []
    done = 0
    for numbers, logits, scores in propose(runtime, scene, prompts, least_score=options.pred_iou_threshold):
        for row, column in np.argwhere(scores > options.pred_iou_threshold):
            proposal = Proposal.of(
                logits[row, column],
                float(scores[row, column]),
                int(numbers[row]),
                lowest=-options.stability_offset,
            )
            if proposal is not None:
                found.append(proposal)
        # prompts come in order, so that those left out before this one are done too
        advance(int(numbers[-1]) + 1 - done)
        done = int(numbers[-1]) + 1
    advance(len(points) - done)
    return found


def _make_mask(survivor: Survivor, points: NDArray[np.float64], crop: Crop, image: Size) -> Mask:
    x, y = points[survivor.proposal.point]
    rle = survivor.rle
    if tuple(rle.size) != tuple(image):
        rle = _move_to_image(rle, crop, image)
    return Mask(
        rle,
        survivor.proposal.score,
        prompt=survivor.proposal.point,
        stability=survivor.stability,
        point=(float(x) + crop.x0, float(y) + crop.y0),
        crop=crop.box,
    )


def _move_to_image(rle: RLE, crop: Crop, image: Size) -> RLE:
    """The mask of a crop as a mask of the image."""
    return encode_window(rle.decode(), crop.y0, crop.x0, (image.height, image.width))


def _merge_crops(masks: list[Mask], threshold: float) -> Iterator[Mask]:
    """Suppresses duplicates between crops; the mask of the smaller crop stays."""
    if not masks:
        return
    boxes = np.array([mask.box for mask in masks], np.float64)
    boxes[:, 2:] -= 1
    crops = np.array([mask.crop for mask in masks], np.float64)
    areas = (crops[:, 2] - crops[:, 0]) * (crops[:, 3] - crops[:, 1])
    for index in non_maximum_suppression(boxes, 1 / areas, threshold):
        yield masks[index]
