"""A model in use: images pass through a task and a runtime, one, a list, or a stream of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.core.errors import InputError, UsageError
from densevit.core.manifest import Manifest
from densevit.core.messages import one_line
from densevit.imaging import DEFAULT_MAX_PIXELS, ImageError, ImageSource, Placement
from densevit.runtimes.base import OutOfMemoryError, Runtime
from densevit.tasks.base import Arrays, PiecewiseTask, Task

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
        # the function that takes the image
        self._function = next(iter(task.signatures))

    def __repr__(self) -> str:
        runtime = self.runtime
        return f"Model({self.manifest.name}, {runtime.name}, {runtime.precision}, {runtime.device})"

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
        return self._infer(self._prepare(source, max_pixels))

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
        prepared = [self._prepare(source, max_pixels) for source in sources]
        if not prepared:
            return []
        if any(entry.placement is None for entry in prepared):
            name, task = self.manifest.name, self.manifest.task
            raise UsageError(f"{name}: a {task} model takes images one by one; use stream")
        shapes = {name: {entry.tensors[name].shape for entry in prepared} for name in prepared[0].tensors}
        if wrong := [seen for seen in shapes.values() if len(seen) > 1]:
            raise UsageError(f"images of one batch must have one working size, got {sorted(wrong[0])}; use stream")
        names = ", ".join(entry.name for entry in prepared)
        advice = self.task.memory_advice
        with _name_image(names, advice if len(prepared) == 1 else f"use fewer images in a batch, or {advice}"):
            raw = self._run({name: np.concatenate([e.tensors[name] for e in prepared]) for name in shapes})
        results = []
        for index, entry in enumerate(prepared):
            assert entry.placement is not None
            with _name_image(entry.name, advice):
                part = {name: array[index : index + 1] for name, array in raw.items()}
                results.append(self.task.postprocess(part, entry.placement, entry.image))
        return results

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
        waiting: deque[Future[_Prepared]] = deque()
        remaining = iter(sources)
        with ThreadPoolExecutor(1, thread_name_prefix="densevit-read") as reader:
            try:
                while True:
                    while len(waiting) <= max(0, prefetch) and (source := next(remaining, _END)) is not _END:
                        # a caller may fill the same array again: what counts is what it holds now
                        held = source.copy() if isinstance(source, np.ndarray) else source
                        waiting.append(reader.submit(self._prepare, held, max_pixels))
                    if not waiting:
                        return
                    try:
                        yield self._infer(waiting.popleft().result())
                    except ImageError as error:
                        yield error
            finally:
                # a caller that stops waits only for the image that is being read
                for future in waiting:
                    future.cancel()

    def logits(self, source: ImageSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.float32]:
        """The network's output for the padded working image, before any postprocessing.

        Returns:
            float32, (classes, h, w) for segmentation and (classes,) for classification.

        Raises:
            ImageError: as `predict`.
            UsageError: the model gives no logits.
        """
        if "logits" not in {spec.name for spec in self.task.signatures[self._function].outputs}:
            raise UsageError(f"{self.manifest.name}: a {self.manifest.task} model gives no logits; use predict")
        prepared = self._prepare(source, max_pixels)
        with _name_image(prepared.name, self.task.memory_advice):
            logits: NDArray[np.float32] = self.runtime.run(self._function, prepared.tensors)["logits"][0]
        return logits

    def _prepare(self, source: Any, max_pixels: int) -> _Prepared:
        name = one_line(source) if isinstance(source, (str, Path)) else type(source).__name__
        advice = self.task.memory_advice
        # what cannot be read is named by the reader already
        with explain_memory(name, advice):
            if isinstance(self.task, PiecewiseTask):
                return _Prepared(name, self.task.read(source, max_pixels=max_pixels), {}, None)
            image = imaging.read(source, max_pixels=max_pixels)
        with _name_image(name, advice):
            return _Prepared(name, image, *self.task.preprocess(image))

    def _infer(self, prepared: _Prepared) -> Result:
        with _name_image(prepared.name, self.task.memory_advice):
            if prepared.placement is None:
                assert isinstance(self.task, PiecewiseTask)
                answer: Result = self.task.answer(prepared.image, self._run)
                return answer
            return self.task.postprocess(self._run(prepared.tensors), prepared.placement, prepared.image)

    def _run(self, tensors: Arrays) -> Arrays:
        return self.runtime.run(self._function, tensors)


@contextmanager
def explain_memory(name: str, advice: str) -> Iterator[None]:
    """Where memory runs out, an ImageError names the image and what helps; the other images may well fit."""
    try:
        yield
    except (OutOfMemoryError, MemoryError) as error:
        raise ImageError(f"{name}: {one_line(error)}; {advice}") from error


@contextmanager
def _name_image(name: str, advice: str) -> Iterator[None]:
    """Puts the image's name in front of what is wrong with the image. Everything else passes: it is a bug."""
    with explain_memory(name, advice):
        try:
            yield
        except InputError as error:
            if isinstance(error, ImageError) and str(error).startswith(f"{name}: "):
                raise
            raise ImageError(f"{name}: {one_line(error)}") from error


class _Prepared(NamedTuple):
    """An image on its way to the network."""

    name: str
    image: Any
    tensors: dict[str, NDArray[Any]]
    placement: Placement | None  # None: the task itself prepares what it runs


_END = object()
