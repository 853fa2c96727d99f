"""Mean IoU and pixel accuracy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError, UsageError
from densevit.core.processes import Processes
from densevit.data.base import SegmentationData
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, count_images, prefetch
from densevit.imaging import Placement
from densevit.metrics import SegmentationScore
from densevit.runtimes.base import Runtime
from densevit.tasks.segmentation import Segmentation


def evaluate_segmentation(
    task: Segmentation,
    runtime: Runtime,
    data: SegmentationData,
    *,
    class_map: Sequence[int] | None = None,
    progress: Progress = lambda done, total: None,
    processes: Processes = SINGLE_PROCESS,
) -> Evaluation:
    """Mean IoU and pixel accuracy in percent.

    Args:
        task: of the model.
        runtime: of the model.
        data: images with labels.
        class_map: the data set's class for each of the model's classes, where they differ; -1 for a class that
            the data set lacks, which counts as wrong wherever the truth is known.
        progress: called with (samples done, number of samples) of this process.
        processes: the processes that share the data.

    Raises:
        UsageError: the classes of model and data differ and there is no class map, or one that does not fit.
        InputError: no pixel has a label.
        ProcessLostError: another process ended.
    """
    mapping = _make_class_map(task, data, class_map)
    score = SegmentationScore(data.class_names)
    start = time.perf_counter()

    def prepare(index: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]], Placement]:
        sample = data[index]
        return sample.labels, *task.preprocess(sample.image)

    share = range(processes.rank, len(data), processes.size)
    for done, (labels, tensors, placement) in enumerate(prefetch(prepare, share), start=1):
        result = task.postprocess(runtime.run("forward", tensors), placement)
        score.update(mapping[result.labels], labels)
        progress(done, len(share))
    score.confusion = processes.sum(score.state())
    if not score.confusion.any():
        raise InputError("no pixel of this data has a label; check the folder and the split")
    return Evaluation(score.compute(), count_images(data), time.perf_counter() - start)


def _make_class_map(task: Segmentation, data: SegmentationData, given: Sequence[int] | None) -> NDArray[np.int64]:
    if given is None:
        if task.class_names != data.class_names:
            raise UsageError(
                f"the model has {len(task.class_names)} classes ({', '.join(task.class_names[:3])} ...), "
                f"the data {len(data.class_names)} ({', '.join(data.class_names[:3])} ...); "
                "pass a class map (--class-map, class_map=)"
            )
        given = range(len(task.class_names))
    if len(given) != len(task.class_names):
        raise UsageError(f"the class map has {len(given)} entries, the model {len(task.class_names)} classes")
    if any(type(entry) is not int or not -1 <= entry < len(data.class_names) for entry in given):
        raise UsageError(f"the class map's entries must be integers in -1..{len(data.class_names) - 1}")
    return np.array(given, np.int64)
