"""Scores of a model on a data set, through any runtime and by the same steps as prediction.

Several processes may share a data set: process r of n takes the samples r, r + n, r + 2 n, ... They sum integer
counts, so that the scores equal those of one process to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from densevit.core.errors import UsageError
from densevit.core.processes import Processes
from densevit.data.base import AnyData, ClassificationData, HighResolutionData, PromptableData, SegmentationData
from densevit.data.coco import Coco
from densevit.data.detections import BoxDetections
from densevit.data.table import KINDS
from densevit.evaluate.base import SINGLE_PROCESS, Evaluable, Evaluation, Progress
from densevit.evaluate.classification import evaluate_classification
from densevit.evaluate.promptable import Prompt, evaluate_detections, evaluate_promptable
from densevit.evaluate.segmentation import evaluate_segmentation
from densevit.evaluate.super_resolution import evaluate_super_resolution
from densevit.predict.segment_anything import SegmentAnything

__all__ = [
    "Evaluation",
    "evaluate",
    "evaluate_classification",
    "evaluate_detections",
    "evaluate_promptable",
    "evaluate_segmentation",
    "evaluate_super_resolution",
    "list_kinds",
]


def evaluate(
    model: Evaluable,
    data: AnyData,
    *,
    class_map: Sequence[int] | None = None,
    prompt: Prompt = "box",
    clicks: int = 1,
    boxes: Mapping[int, BoxDetections] | None = None,
    progress: Progress = lambda done, total: None,
    processes: Processes = SINGLE_PROCESS,
) -> Evaluation:
    """Scores of the model's task.

    Args:
        model: of any task.
        data: of the same task.
        class_map: as `evaluate_segmentation` says.
        prompt: as `evaluate_promptable` says.
        clicks: as `evaluate_promptable` says.
        boxes: of a detector, by the id of the image: average precision instead, as `evaluate_detections`.
        progress: called with (samples done, number of samples) of this process.
        processes: the processes that share the data.

    Raises:
        UsageError: data of another task, or options that do not fit the task.
        InputError: as the task's evaluation.
    """
    name, task = model.manifest.name, model.manifest.task
    if _find_task(data) != task:
        kinds = list_kinds(task)
        raise UsageError(f"{name}: its task is {task}, this data is for another one; kinds that fit: {kinds}")
    if task != "promptable" and (prompt != "box" or clicks != 1 or boxes is not None):
        raise UsageError(
            f"{name}: prompt, clicks and boxes are for promptable models, not for {task}; leave them out"
        )
    if isinstance(data, SegmentationData):
        return evaluate_segmentation(
            model.task, model.runtime, data, class_map=class_map, progress=progress, processes=processes
        )
    if class_map is not None:
        raise UsageError(f"{name}: a class map is for segmentation; leave it out")
    if isinstance(model, SegmentAnything):
        objects = cast("PromptableData", data)
        if boxes is None:
            return evaluate_promptable(
                model, objects, prompt=prompt, clicks=clicks, progress=progress, processes=processes
            )
        return _evaluate_boxes(model, objects, boxes, progress, processes)
    if task == "super_resolution":
        images = cast("HighResolutionData", data)
        return evaluate_super_resolution(model.task, model.runtime, images, progress=progress, processes=processes)
    answers = cast("ClassificationData", data)
    return evaluate_classification(model.task, model.runtime, answers, progress=progress, processes=processes)


def list_kinds(task: str) -> str:
    """The kinds of data for a task, as text for messages."""
    return ", ".join(KINDS.get(task, ())) or "none"


def _find_task(data: AnyData) -> str:
    if isinstance(data, SegmentationData):
        return "segmentation"
    if isinstance(data, PromptableData):
        return "promptable"
    return "classification" if hasattr(data, "class_names") else "super_resolution"


def _evaluate_boxes(
    model: SegmentAnything,
    data: PromptableData,
    boxes: Mapping[int, BoxDetections],
    progress: Progress,
    processes: Processes,
) -> Evaluation:
    if not isinstance(data, Coco):
        raise UsageError("average precision needs annotations in COCO's format; use coco:DIR")
    if processes.size > 1:
        raise UsageError("average precision is computed by one process; start it without torchrun")
    return evaluate_detections(model, data, data.annotations, boxes, progress=progress)
