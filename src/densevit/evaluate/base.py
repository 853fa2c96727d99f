"""What all evaluations have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from densevit.core.manifest import Manifest
from densevit.core.processes import SingleProcess
from densevit.runtimes.base import Runtime

SINGLE_PROCESS = SingleProcess()
Progress = Callable[[int, int], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Evaluation:
    """What was measured: metrics by name, over so many images, in so many seconds."""

    metrics: dict[str, Any]
    images: int
    seconds: float


class Evaluable(Protocol):
    """A loaded model: `densevit.predict.model.Model` is one."""

    @property
    def manifest(self) -> Manifest:
        """What the model says of itself."""
        ...

    @property
    def task(self) -> Any:
        """Its numpy side, of the kind that the manifest names."""
        ...

    @property
    def runtime(self) -> Runtime:
        """Runs it."""
        ...


def prefetch(prepare: Callable[[int], Item], indices: Iterable[int]) -> Iterator[Item]:
    """What `prepare` gives for each index, in order; the next is prepared while one is worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="densevit-read") as reader:
        coming = None
        for index in indices:
            current, coming = coming, reader.submit(prepare, index)
            if current is not None:
                yield current.result()
        if coming is not None:
            yield coming.result()
