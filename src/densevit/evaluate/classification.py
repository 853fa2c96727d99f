"""Top-1 and top-5 accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.classes import read_class_table, read_imagenet_wnids
from densevit.core.errors import InputError
from densevit.core.processes import Processes
from densevit.data.base import ClassificationData, ClassificationSample
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, evaluate_answers
from densevit.metrics import ClassificationScore
from densevit.runtimes.base import Runtime
from densevit.tasks.base import Task
from densevit.tasks.classification import ClassificationResult
from densevit.tasks.scoring import Scorer


def evaluate_classification(
    task: Task[ClassificationResult],
    runtime: Runtime,
    data: ClassificationData,
    *,
    class_names: tuple[str, ...],
    progress: Progress = lambda done, total: None,
    processes: Processes = SINGLE_PROCESS,
) -> Evaluation:
    """Top-1 and top-5 accuracy in percent.

    Args:
        task: of the model.
        runtime: of the model.
        data: images with one class each.
        class_names: of the model.
        progress: called with (samples done, number of samples) of this process.
        processes: the processes that share the data.

    Raises:
        InputError: the classes of model and data differ, or there is no image.
        ProcessLostError: another process ended.
    """
    scorer = make_classification_scorer(class_names, data)
    return evaluate_answers(task, runtime, data, scorer, progress=progress, processes=processes)


def make_classification_scorer(class_names: tuple[str, ...], data: ClassificationData) -> Scorer:
    """The scores of a model with these classes; see `evaluate_classification`.

    Raises:
        InputError: the classes of model and data differ.
    """
    classes = _match_classes(class_names, data.class_names)
    return _Scorer(classes, ClassificationScore(len(class_names)))


class _Scorer:
    def __init__(self, classes: list[int], score: ClassificationScore) -> None:
        self._classes = classes
        self._score = score

    def open_sample(self, sample: ClassificationSample) -> tuple[NDArray[np.uint8], int]:
        return sample.image, sample.label

    def update(self, result: ClassificationResult, truth: int) -> None:
        self._score.update(result.logits, self._classes[truth])

    def state(self) -> NDArray[np.int64]:
        return self._score.state()

    def compute(self, counts: NDArray[np.int64]) -> dict[str, Any]:
        if not counts.any():
            raise InputError("this data has no images; check the folder and the split")
        self._score.counts = counts
        return self._score.compute()


def _match_classes(model: tuple[str, ...], data: tuple[str, ...]) -> list[int]:
    """The model's class for each of the data's: by name, or by WordNet identifier where both are ImageNet's."""
    names = [model]
    if model == read_class_table("imagenet").names:
        names.append(read_imagenet_wnids())
    for known in names:
        index = {name: number for number, name in enumerate(known)}
        if all(name in index for name in data):
            return [index[name] for name in data]
    raise InputError(
        f"the model has {len(model)} classes ({', '.join(model[:3])} ...), the data {len(data)} "
        f"({', '.join(data[:3])} ...); the names must agree, or be ImageNet's WordNet identifiers"
    )
