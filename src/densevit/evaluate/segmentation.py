"""Mean IoU and pixel accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError, UsageError
from densevit.core.processes import Processes
from densevit.data.base import SegmentationData, SegmentationSample
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, evaluate_answers
from densevit.metrics import SegmentationScore
from densevit.runtimes.base import Runtime
from densevit.tasks.base import Task
from densevit.tasks.scoring import Scorer
from densevit.tasks.segmentation import SegmentationResult


def evaluate_segmentation(
    task: Task[SegmentationResult],
    runtime: Runtime,
    data: SegmentationData,
    *,
    class_names: tuple[str, ...],
    class_map: Sequence[int] | None = None,
    progress: Progress = lambda done, total: None,
    processes: Processes = SINGLE_PROCESS,
) -> Evaluation:
    """Mean IoU and pixel accuracy in percent.

    Args:
        task: of the model.
        runtime: of the model.
        data: images with labels.
        class_names: of the model.
        class_map: the data set's class for each of the model's classes, where they differ; -1 for a class that
            the data set lacks, which counts as wrong wherever the truth is known.
        progress: called with (samples done, number of samples) of this process.
        processes: the processes that share the data.

    Raises:
        UsageError: the classes of model and data differ and there is no class map, or one that does not fit.
        InputError: no pixel has a label.
        ProcessLostError: another process ended.
    """
    scorer = make_segmentation_scorer(class_names, data, class_map)
    return evaluate_answers(task, runtime, data, scorer, progress=progress, processes=processes)


def make_segmentation_scorer(
    class_names: tuple[str, ...], data: SegmentationData, class_map: Sequence[int] | None = None
) -> Scorer:
    """The scores of a model with these classes; see `evaluate_segmentation`.

    Raises:
        UsageError: the classes of model and data differ and there is no class map, or one that does not fit.
    """
    mapping = _make_class_map(class_names, data, class_map)
    return _Scorer(mapping, SegmentationScore(data.class_names))


class _Scorer:
    def __init__(self, mapping: NDArray[np.int64], score: SegmentationScore) -> None:
        self._mapping = mapping
        self._score = score

    def open_sample(self, sample: SegmentationSample) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return sample.image, sample.labels

    def update(self, result: SegmentationResult, truth: NDArray[np.uint8]) -> None:
        self._score.update(self._mapping[result.labels], truth)

    def state(self) -> NDArray[np.int64]:
        return self._score.state()

    def compute(self, counts: NDArray[np.int64]) -> dict[str, Any]:
        if not counts.any():
            raise InputError("no pixel of this data has a label; check the folder and the split")
        self._score.confusion = counts
        return self._score.compute()


def _make_class_map(
    class_names: tuple[str, ...], data: SegmentationData, given: Sequence[int] | None
) -> NDArray[np.int64]:
    if given is None:
        if class_names != data.class_names:
            raise UsageError(
                f"the model has {len(class_names)} classes ({', '.join(class_names[:3])} ...), "
                f"the data {len(data.class_names)} ({', '.join(data.class_names[:3])} ...); "
                "pass a class map (--class-map, class_map=)"
            )
        given = range(len(class_names))
    if len(given) != len(class_names):
        raise UsageError(f"the class map has {len(given)} entries, the model {len(class_names)} classes")
    if any(type(entry) is not int or not -1 <= entry < len(data.class_names) for entry in given):
        raise UsageError(f"the class map's entries must be integers in -1..{len(data.class_names) - 1}")
    return np.array(given, np.int64)
