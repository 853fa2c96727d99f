"""Scores of a model on a data set, through any runtime and by the same steps as prediction.

Several processes may share a data set: process r of n takes the samples r, r + n, r + 2 n, ... They sum integer
counts, so that the scores equal those of one process to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densevit.core.errors import UsageError
from densevit.core.processes import Processes
from densevit.data.coco import Coco
from densevit.data.detections import BoxDetections
from densevit.data.table import KINDS
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, Samples, evaluate_answers
from densevit.evaluate.classification import evaluate_classification
from densevit.evaluate.promptable import Prompt, evaluate_detections, evaluate_promptable
from densevit.evaluate.segmentation import evaluate_segmentation
from densevit.evaluate.super_resolution import evaluate_super_resolution
from densevit.predict.loading import LoadedModel
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


@dataclass(frozen=True)
class _Options:
    class_map: Sequence[int] | None
    prompt: Prompt
    clicks: int
    boxes: Mapping[int, BoxDetections] | None
    progress: Progress
    processes: Processes


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
    options = _Options(class_map, prompt, clicks, boxes, progress, processes)
    return _EVALUATIONS.get(task, _evaluate_by_row)(model, data, options)


def list_kinds(task: str) -> str:
    """The kinds of data for a task, as text for messages."""
    return ", ".join(KINDS.get(task, ())) or "none"


def _evaluate_segmentation(model: Any, data: Any, options: _Options) -> Evaluation:
    return evaluate_segmentation(
        model.task,
        model.runtime,
        data,
        class_names=model.manifest.class_names,
        class_map=options.class_map,
        progress=options.progress,
        processes=options.processes,
    )


def _evaluate_classification(model: Any, data: Any, options: _Options) -> Evaluation:
    return evaluate_classification(
        model.task,
        model.runtime,
        data,
        class_names=model.manifest.class_names,
        progress=options.progress,
        processes=options.processes,
    )


def _evaluate_super_resolution(model: Any, data: Any, options: _Options) -> Evaluation:
    return evaluate_super_resolution(
        model.task,
        model.runtime,
        data,
        scale=SUPER_RESOLUTION[model.manifest.architecture].scale,
        progress=options.progress,
        processes=options.processes,
    )


def _evaluate_promptable(model: Any, data: Any, options: _Options) -> Evaluation:
    if options.boxes is None:
        return evaluate_promptable(
            model,
            data,
            prompt=options.prompt,
            clicks=options.clicks,
            progress=options.progress,
            processes=options.processes,
        )
    if not isinstance(data, Coco):
        raise UsageError("average precision needs annotations in COCO's format; use coco:DIR")
    if options.processes.size > 1:
        raise UsageError("average precision is computed by one process; start it without torchrun")
    return evaluate_detections(model, data, data.annotations, options.boxes, progress=options.progress)


def _evaluate_by_row(model: LoadedModel, data: Samples, options: _Options) -> Evaluation:
    """Any other task, by the scorer of its row."""
    make_scorer = TASKS[model.manifest.task].make_scorer
    if make_scorer is None:
        raise UsageError(f"{model.manifest.name}: the results of {model.manifest.task} models have no scores")
    return evaluate_answers(
        model.task,
        model.runtime,
        data,
        make_scorer(model.manifest, data),
        progress=options.progress,
        processes=options.processes,
    )


_EVALUATIONS: dict[str, Callable[[Any, Any, _Options], Evaluation]] = {
    "segmentation": _evaluate_segmentation,
    "classification": _evaluate_classification,
    "super_resolution": _evaluate_super_resolution,
    "promptable": _evaluate_promptable,
}
"""The tasks whose evaluation has options; all others are evaluated by the scorer of their row in `TASKS`."""
