"""What all evaluations share: their result, and reading ahead of the network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from densevit.core.processes import Processes, SingleProcess
from densevit.data.tiled import Tiled
from densevit.imaging import DEFAULT_MAX_PIXELS
from densevit.runtimes.base import Runtime
from densevit.tasks.base import Task
from densevit.tasks.scoring import Scorer

SINGLE_PROCESS = SingleProcess()
Progress = Callable[[int, int], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on a data set.

    Attributes:
        metrics: by key; see `densevit.metrics.METRIC_FORMATS` for their units.
        images: number of images of the data set; the tiles of an image count as one.
        seconds: that the evaluation took.
    """

    metrics: dict[str, Any]
    images: int
    seconds: float


def count_images(data: Sized) -> int:
    """Number of images of a data set, also where its samples are tiles."""
    return data.images if isinstance(data, Tiled) else len(data)


class Samples(Protocol):
    """A data set: samples by number."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> Any:
        """Reads one sample."""
        ...


def evaluate_answers(
    task: Task[Any],
    runtime: Runtime,
    data: Samples,
    scorer: Scorer,
    *,
    progress: Progress = lambda done, total: None,
    processes: Processes = SINGLE_PROCESS,
) -> Evaluation:
    """Answers every image of a data set as `Model.predict` does, and scores the results.

    Args:
        task: of the model.
        runtime: of the model.
        data: the data set.
        scorer: of the task.
        progress: called with (samples done, number of samples) of this process.
        processes: the processes that share the data.

    Raises:
        InputError: as the scorer.
        ProcessLostError: another process ended.
    """
    start = time.perf_counter()

    def prepare(index: int) -> tuple[Any, Any]:
        image, truth = scorer.open_sample(data[index])
        return task.read(image, max_pixels=max(DEFAULT_MAX_PIXELS, image.size)), truth

    share = range(processes.rank, len(data), processes.size)
    for done, (image, truth) in enumerate(prefetch(prepare, share), start=1):
        scorer.update(task.answer(image, runtime.run), truth)
        progress(done, len(share))
    metrics = scorer.compute(processes.sum(scorer.state()))
    return Evaluation(metrics, count_images(data), time.perf_counter() - start)


def prefetch(prepare: Callable[[int], Item], indices: Iterable[int]) -> Iterator[Item]:
    """The results of `prepare` for each index, in order; the next is prepared while the caller uses one."""
    with ThreadPoolExecutor(1, thread_name_prefix="densevit-read") as reader:
        coming = None
        for index in indices:
            current, coming = coming, reader.submit(prepare, index)
            if current is not None:
                yield current.result()
        if coming is not None:
            yield coming.result()
