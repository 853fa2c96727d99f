"""Top-1 and top-5 accuracy."""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import NDArray

from densevit.core.classes import read_class_table, read_imagenet_wnids
from densevit.core.errors import InputError
from densevit.core.processes import Processes
from densevit.data.base import ClassificationData
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, count_images, prefetch
from densevit.imaging import Placement
from densevit.metrics import ClassificationScore
from densevit.runtimes.base import Runtime
from densevit.tasks.classification import Classification


def evaluate_classification(
    task: Classification,
    runtime: Runtime,
    data: ClassificationData,
    *,
    progress: Progress = lambda done, total: None,
    processes: Processes = SINGLE_PROCESS,
) -> Evaluation:
    """Top-1 and top-5 accuracy in percent.

    Args:
        task: of the model.
        runtime: of the model.
        data: images with one class each.
        progress: called with (samples done, number of samples) of this process.
        processes: the processes that share the data.

    Raises:
        InputError: the classes of model and data differ, or there is no image.
        ProcessLostError: another process ended.
    """
    classes = _match_classes(task.class_names, data.class_names)
    score = ClassificationScore(len(task.class_names))
    start = time.perf_counter()

    def prepare(index: int) -> tuple[int, dict[str, NDArray[Any]], Placement]:
        sample = data[index]
        return sample.label, *task.preprocess(sample.image)

    share = range(processes.rank, len(data), processes.size)
    for done, (label, tensors, placement) in enumerate(prefetch(prepare, share), start=1):
        answer = task.postprocess(runtime.run("forward", tensors), placement)
        score.update(answer.logits, classes[label])
        progress(done, len(share))
    score.counts = processes.sum(score.state())
    if not len(data):
        raise InputError("this data has no images; check the folder and the split")
    return Evaluation(score.compute(), count_images(data), time.perf_counter() - start)


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
