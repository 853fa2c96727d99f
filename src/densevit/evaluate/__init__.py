"""Scores of a model on a data set, through any runtime and by the same steps as prediction.

Several processes may share a data set: process r of n takes the samples r, r + n, r + 2 n, ... They sum integer
counts, so that the scores equal those of one process to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest
from densevit.core.processes import Processes
from densevit.data.coco import Coco
from densevit.data.detections import BoxDetections
from densevit.data.table import KINDS
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, Samples, evaluate_answers
from densevit.evaluate.classification import evaluate_classification, make_classification_scorer
from densevit.evaluate.promptable import Prompt, evaluate_detections, evaluate_promptable
from densevit.evaluate.segmentation import evaluate_segmentation, make_segmentation_scorer
from densevit.evaluate.super_resolution import evaluate_super_resolution, make_super_resolution_scorer
from densevit.predict.loading import LoadedModel
from densevit.tasks.scoring import Scorer
from densevit.tasks.table import TASKS
from densevit.variants import SUPER_RESOLUTION

__all__ = [
    "Evaluation",
    "evaluate",
    "evaluate_answers",
    "evaluate_classification",
    "evaluate_detections",
    "evaluate_promptable",
    "evaluate_segmentation",
    "evaluate_super_resolution",
    "list_kinds",
]


def evaluate(
    model: LoadedModel,
    data: Samples,
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
    if getattr(data, "task", task) != task:
        kinds = list_kinds(task)
        raise UsageError(f"{name}: its task is {task}, this data is for another one; kinds that fit: {kinds}")
    if task != "promptable" and (prompt != "box" or clicks != 1 or boxes is not None):
        raise UsageError(
            f"{name}: prompt, clicks and boxes are for promptable models, not for {task}; leave them out"
        )
    if task != "segmentation" and class_map is not None:
        raise UsageError(f"{name}: a class map is for segmentation; leave it out")
    if task == "promptable":
        return _evaluate_prompts(model, data, prompt, clicks, boxes, progress, processes)
    scorer = _make_scorer(model.manifest, data, class_map)
    return evaluate_answers(model.task, model.runtime, data, scorer, progress=progress, processes=processes)


def list_kinds(task: str) -> str:
    """The kinds of data for a task, as text for messages."""
    return ", ".join(KINDS.get(task, ())) or "none"


def _evaluate_prompts(
    model: Any,
    data: Any,
    prompt: Prompt,
    clicks: int,
    boxes: Mapping[int, BoxDetections] | None,
    progress: Progress,
    processes: Processes,
) -> Evaluation:
    if boxes is None:
        return evaluate_promptable(
            model, data, prompt=prompt, clicks=clicks, progress=progress, processes=processes
        )
    if not isinstance(data, Coco):
        raise UsageError("average precision needs annotations in COCO's format; use coco:DIR")
    if processes.size > 1:
        raise UsageError("average precision is computed by one process; start it without torchrun")
    return evaluate_detections(model, data, data.annotations, boxes, progress=progress)


def _make_scorer(manifest: Manifest, data: Any, class_map: Sequence[int] | None) -> Scorer:
    match manifest.task:
        case "segmentation":
            return make_segmentation_scorer(manifest.class_names, data, class_map)
        case "classification":
            return make_classification_scorer(manifest.class_names, data)
        case "super_resolution":
            return make_super_resolution_scorer(SUPER_RESOLUTION[manifest.architecture].scale)
    make_scorer = TASKS[manifest.task].make_scorer
    if make_scorer is None:
        raise UsageError(f"{manifest.name}: the results of {manifest.task} models have no scores")
    return make_scorer(manifest, data)
