"""What all evaluations share: their result, and reading ahead of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from densevit.core.manifest import Manifest
from densevit.core.processes import SingleProcess
from densevit.data.tiled import Tiled
from densevit.runtimes.base import Runtime

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


class Evaluable(Protocol):
    """A loaded model: `densevit.predict.model.Model` is one."""

    @property
    def manifest(self) -> Manifest:
        """Name, task, classes and sizes."""
        ...

    @property
    def task(self) -> Any:
        """Pre- and postprocessing, of the kind that the manifest names."""
        ...

    @property
    def runtime(self) -> Runtime:
        """Runs it."""
        ...


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
