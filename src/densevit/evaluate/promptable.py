"""Intersection over union of masks with their objects, by boxes or clicks; average precision by detected boxes.

The protocol of EfficientViT-SAM's evaluation (arXiv 2402.05008, section 4.2): prompts come from the annotations,
of each prompt's three masks the one of the highest predicted quality counts, the figure is the mean over objects.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from densevit import masks
from densevit.core.processes import Processes
from densevit.data.average_precision import average_precision
from densevit.data.base import PromptableData
from densevit.data.detections import NO_DETECTIONS, BoxDetections, MaskDetection
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, prefetch
from densevit.masks import RLE, next_click
from densevit.metrics import MaskScore
from densevit.predict.segment_anything import SegmentAnything
from densevit.tasks.promptable import Scene

Prompt = Literal["box", "point"]
MAX_CLICKS = 20


def evaluate_promptable(
    model: SegmentAnything,
    data: PromptableData,
    *,
    prompt: Prompt = "box",
    clicks: int = 1,
    progress: Progress = lambda done, total: None,
    processes: Processes = SINGLE_PROCESS,
) -> Evaluation:
    """Mean intersection over union in percent, of all objects and by their size.

    Args:
        model: is asked.
        data: images with objects.
        prompt: the annotations' boxes, or clicks as a user would make them.
        clicks: how many per object, with `prompt` point: the first into the middle of the object, each further one
            into the middle of the largest error.
        progress: called with (images done, images in all) of this process.
        processes: the processes that share the data.

    Raises:
        ValueError: no such prompt, or no object in the data.
        ProcessLostError: another process ended.
    """
    if prompt not in ("box", "point"):
        raise ValueError(f"prompt must be box or point, got {prompt!r}")
    if not 1 <= clicks <= MAX_CLICKS:
        raise ValueError(f"clicks must be 1 to {MAX_CLICKS}, got {clicks}")
    score = MaskScore()
    start = time.perf_counter()
    share = range(processes.rank, len(data), processes.size)
    for done, sample in enumerate(prefetch(data.__getitem__, share), start=1):
        if sample.masks:
            scene = model.encode(sample.image)
            if prompt == "box":
                found = _by_boxes(model, scene, sample.boxes)
            else:
                found = [_by_clicks(model, scene, truth, clicks) for truth in sample.masks]
            overlaps = [masks.iou(mask, truth) for mask, truth in zip(found, sample.masks, strict=True)]
            score.update(np.array(overlaps), sample.areas)
        progress(done, len(share))
    score.sums = processes.sum(score.state())
    metrics = score.compute()
    if metrics["iou"] is None:
        raise ValueError("this data holds no object; is it the right folder and split?")
    return Evaluation(metrics, len(data), time.perf_counter() - start)


def evaluate_detections(
    model: SegmentAnything,
    data: PromptableData,
    annotations: Path,
    found: Mapping[int, BoxDetections],
    *,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """COCO's average precision of the masks of a detector's boxes, with the detector's scores.

    Args:
        model: is asked.
        data: the images of the annotations.
        annotations: the file that holds the truth.
        found: boxes by the number of the image.
        progress: called with (images done, images in all).

    Raises:
        DataError: as `average_precision`.
    """
    start = time.perf_counter()
    detections: list[MaskDetection] = []
    for done, sample in enumerate(prefetch(data.__getitem__, range(len(data))), start=1):
        boxes = found.get(sample.image_id, NO_DETECTIONS)
        if len(boxes.scores):
            answers = _by_boxes(model, model.encode(sample.image), boxes.boxes)
            rows = zip(boxes.category_ids, boxes.scores, answers, strict=True)
            detections += [
                MaskDetection(sample.image_id, int(category), float(score), mask) for category, score, mask in rows
            ]
        progress(done, len(data))
    return Evaluation(average_precision(annotations, detections), len(data), time.perf_counter() - start)


def _by_boxes(model: SegmentAnything, scene: Scene, boxes: NDArray[np.float32]) -> list[RLE]:
    size = scene.placement.image
    corners = boxes.astype(np.float64).reshape(-1, 2, 2)
    # annotations and detectors have boxes thinner than a pixel, which as prompts would be refused
    limit = np.array([size.width, size.height], np.float64)
    first = np.minimum(corners[:, 0].clip(0, limit), limit - 1)
    last = np.maximum(corners[:, 1].clip(0, limit), first + 1)
    answers = model.predict(scene, boxes=np.concatenate([first, last], axis=1), multimask=True)
    return [mask.rle for mask in answers.best()]


def _by_clicks(model: SegmentAnything, scene: Scene, truth: RLE, clicks: int) -> RLE:
    wanted = truth.decode()
    answer = masks.encode(np.zeros_like(wanted))
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    for _ in range(clicks):
        click = next_click(wanted, answer.decode(), clicked=[(int(x), int(y)) for x, y in points])
        if click is None:
            break
        points.append((click.x, click.y))
        labels.append(click.label)
        # the middle of the pixel
        places = np.array(points) + 0.5
        (best,) = model.predict(scene, points=places[None], labels=[labels], multimask=True).best()
        answer = best.rle
    return answer
