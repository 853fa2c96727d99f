"""A model in use: images pass through a task and a runtime, one, a list, or a stream of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np

from densevit.core.errors import InputError
from densevit.core.manifest import Manifest
from densevit.core.messages import one_line
from densevit.imaging import DEFAULT_MAX_PIXELS, ImageError, ImageSource
from densevit.runtimes.base import OutOfMemoryError, Runtime
from densevit.tasks.base import BatchError, Task

Result = TypeVar("Result")


class Model(Generic[Result]):
    """A task, a runtime, and the images that pass through them.

    Args:
        task: pre- and postprocessing.
        runtime: runs the network.
        manifest: name, task, classes and sizes of the model.
    """

    def __init__(self, task: Task[Result], runtime: Runtime, manifest: Manifest) -> None:
        self.task = task
        self.runtime = runtime
        self.manifest = manifest

    def __repr__(self) -> str:
        runtime = self.runtime
        return (
            f"{type(self).__name__}({self.manifest.name}, {runtime.name}, {runtime.precision}, {runtime.device})"
        )

    @overload
    def predict(self, source: ImageSource, *, max_pixels: int = ...) -> Result: ...

    @overload
    def predict(self, source: list[Any], *, max_pixels: int = ...) -> list[Result]: ...

    def predict(
        self, source: ImageSource | list[Any], *, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> Result | list[Result]:
        """The answer for an image, or for each of a list.

        Args:
            source: a path, a PIL image, a (H, W, 3) uint8 RGB array, or a list of such.
            max_pixels: larger files are refused before they are decoded.

        Raises:
            ImageError: an image cannot be read or used, or does not fit into memory; `stream` goes on with the
                others.
            UnavailableError: the device fails.
        """
        if isinstance(source, list):
            results = []
            for result in self.stream(source, max_pixels=max_pixels):
                if isinstance(result, ImageError):
                    raise result
                results.append(result)
            return results
        return self._answer(self._read(source, max_pixels))

    def predict_batch(
        self, sources: Sequence[ImageSource], *, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> list[Result]:
        """The answers for images that the network takes in one batch, which must fit into memory.

        Args:
            sources: as for `predict`, any number; their working sizes must be the same.
            max_pixels: as for `predict`.

        Raises:
            ImageError: as `predict`.
            UsageError: working sizes that differ, or a task that runs its network image by image.
        """
        read = [self._read(source, max_pixels) for source in sources]
        advice = self.task.memory_advice
        if len(read) > 1:
            advice = f"use fewer images in a batch, or {advice}"
        try:
            with explain_memory(", ".join(entry.name for entry in read), advice):
                return self.task.answer_batch([entry.image for entry in read], self.runtime.run)
        except BatchError as error:
            raise ImageError(f"{read[error.index].name}: {one_line(error)}") from error

    def stream(
        self, sources: Iterable[ImageSource], *, max_pixels: int = DEFAULT_MAX_PIXELS, prefetch: int = 3
    ) -> Iterator[Result | ImageError]:
        """Answers in the order of the sources; the next images are decoded while one is inferred.

        Args:
            sources: as for `predict`.
            max_pixels: as for `predict`.
            prefetch: number of images that are decoded and held before their turn.

        Yields:
            A result, or the error of an image that cannot be used. Any other error ends the stream.
        """
        waiting: deque[Future[_Read]] = deque()
        remaining = iter(sources)
        with ThreadPoolExecutor(1, thread_name_prefix="densevit-read") as reader:
            try:
                while True:
                    while len(waiting) <= max(0, prefetch) and (source := next(remaining, _END)) is not _END:
                        # a caller may fill the same array again: what counts is what it holds now
                        held = source.copy() if isinstance(source, np.ndarray) else source
                        waiting.append(reader.submit(self._read, held, max_pixels))
                    if not waiting:
                        return
                    try:
                        yield self._answer(waiting.popleft().result())
                    except ImageError as error:
                        yield error
            finally:
                # a caller that stops waits only for the image that is being read
                for future in waiting:
                    future.cancel()

    def _read(self, source: Any, max_pixels: int) -> _Read:
        name = name_source(source)
        with name_image(name, self.task.memory_advice):
            return _Read(name, self.task.read(source, max_pixels=max_pixels))

    def _answer(self, read: _Read) -> Result:
        with name_image(read.name, self.task.memory_advice):
            return self.task.answer(read.image, self.runtime.run)


def name_source(source: Any) -> str:
    """What messages call an image: its path, or the type of what was given."""
    return one_line(source) if isinstance(source, (str, Path)) else type(source).__name__


@contextmanager
def explain_memory(name: str, advice: str) -> Iterator[None]:
    """Where memory runs out, an ImageError names the image and what helps; the other images may well fit."""
    try:
        yield
    except (OutOfMemoryError, MemoryError) as error:
        raise ImageError(f"{name}: {one_line(error)}; {advice}") from error


@contextmanager
def name_image(name: str, advice: str) -> Iterator[None]:
    """Puts the image's name in front of what is wrong with the image. Everything else passes: it is a bug."""
    with explain_memory(name, advice):
        try:
            yield
        except InputError as error:
            if isinstance(error, ImageError) and str(error).startswith(f"{name}: "):
                raise
            raise ImageError(f"{name}: {one_line(error)}") from error


class _Read(NamedTuple):
    """An image that has been read, with the name of its source for messages."""

    name: str
    image: Any


_END = object()
