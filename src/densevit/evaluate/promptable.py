"""Intersection over union of masks with annotated objects, by boxes or clicks; average precision by detections.

The protocol of EfficientViT-SAM's evaluation (arXiv 2402.05008, section 4.2): prompts come from the annotations,
of the three masks of a prompt the one with the highest predicted quality counts, and the score is the mean over
objects.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from densevit import masks
from densevit.core.errors import InputError, UsageError
from densevit.core.processes import Processes
from densevit.data.average_precision import average_precision
from densevit.data.base import PromptableData
from densevit.data.detections import NO_DETECTIONS, BoxDetections, MaskDetection
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, count_images, prefetch
from densevit.masks import RLE, choose_click
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
    """Mean intersection over union in percent, for all objects and by size.

    Args:
        model: the model.
        data: images with objects.
        prompt: the annotations' boxes, or clicks as a user would make them.
        clicks: number of clicks per object, with `prompt` point: the first in the middle of the object, each
            further one in the middle of the largest error.
        progress: called with (samples done, number of samples) of this process.
        processes: the processes that share the data.

    Raises:
        UsageError: an unknown prompt or a number of clicks out of range.
        InputError: the data has no objects.
        ProcessLostError: another process ended.
    """
    if prompt not in ("box", "point"):
        raise UsageError(f"prompt must be box or point, got {prompt!r}")
    if not 1 <= clicks <= MAX_CLICKS:
        raise UsageError(f"clicks must be 1 to {MAX_CLICKS}, got {clicks}")
    score = MaskScore()
    start = time.perf_counter()
    share = range(processes.rank, len(data), processes.size)
    for done, sample in enumerate(prefetch(data.__getitem__, share), start=1):
        if sample.masks:
            scene = model.encode(sample.image)
            if prompt == "box":
                found = _answer_boxes(model, scene, sample.boxes)
            else:
                found = [_answer_clicks(model, scene, truth, clicks) for truth in sample.masks]
            overlaps = [masks.iou(mask, truth) for mask, truth in zip(found, sample.masks, strict=True)]
            score.update(np.array(overlaps), sample.areas)
        progress(done, len(share))
    score.sums = processes.sum(score.state())
    metrics = score.compute()
    if metrics["iou"] is None:
        raise InputError("this data has no objects; check the folder and the split")
    return Evaluation(metrics, count_images(data), time.perf_counter() - start)


def evaluate_detections(
    model: SegmentAnything,
    data: PromptableData,
    annotations: Path,
    found: Mapping[int, BoxDetections],
    *,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """COCO's average precision of masks for a detector's boxes, with the detector's scores.

    Args:
        model: the model.
        data: the images of the annotations.
        annotations: the file with the annotated objects.
        found: boxes by the id of the image.
        progress: called with (samples done, number of samples).

    Raises:
        DataError: as `average_precision`.
    """
    start = time.perf_counter()
    detections: list[MaskDetection] = []
    for done, sample in enumerate(prefetch(data.__getitem__, range(len(data))), start=1):
        boxes = found.get(sample.image_id, NO_DETECTIONS)
        if len(boxes.scores):
            answers = _answer_boxes(model, model.encode(sample.image), boxes.boxes)
            rows = zip(boxes.category_ids, boxes.scores, answers, strict=True)
            detections += [
                MaskDetection(sample.image_id, int(category), float(score), mask) for category, score, mask in rows
            ]
        progress(done, len(data))
    return Evaluation(average_precision(annotations, detections), count_images(data), time.perf_counter() - start)


def _answer_boxes(model: SegmentAnything, scene: Scene, boxes: NDArray[np.float32]) -> list[RLE]:
    size = scene.placement.image
    corners = boxes.astype(np.float64).reshape(-1, 2, 2)
    # annotations and detectors have boxes thinner than a pixel, which a prompt may not be
    limit = np.array([size.width, size.height], np.float64)
    first = np.minimum(corners[:, 0].clip(0, limit), limit - 1)
    last = np.maximum(corners[:, 1].clip(0, limit), first + 1)
    answers = model.predict(scene, boxes=np.concatenate([first, last], axis=1), multimask=True)
    return [mask.rle for mask in answers.best()]


def _answer_clicks(model: SegmentAnything, scene: Scene, truth: RLE, clicks: int) -> RLE:
    wanted = truth.decode()
    answer = masks.encode(np.zeros_like(wanted))
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    for _ in range(clicks):
        click = choose_click(wanted, answer.decode(), clicked=[(int(x), int(y)) for x, y in points])
        if click is None:
            break
        points.append((click.x, click.y))
        labels.append(click.label)
        # centers of the pixels
        places = np.array(points) + 0.5
        (best,) = model.predict(scene, points=places[None], labels=[labels], multimask=True).best()
        answer = best.rle
    return answer
