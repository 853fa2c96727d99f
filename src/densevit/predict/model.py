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
        manifest: what the model says of itself.
    """

    def __init__(self, task: Task[Result], runtime: Runtime, manifest: Manifest) -> None:
        self.task = task
        self.runtime = runtime
        self.manifest = manifest
        # the one that takes the image
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
            ImageError: an image cannot be read or used; `stream` goes on with the others.
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
        """The answers for images that the network takes in one batch, which they must have room in.

        Args:
            sources: as for `predict`; their working sizes must be the same.
            max_pixels: as for `predict`.

        Raises:
            ImageError: as `predict`.
            ValueError: working sizes that differ, or a task that runs its network image by image.
        """
        prepared = [self._prepare(source, max_pixels) for source in sources]
        if any(entry.placement is None for entry in prepared):
            raise ValueError(f"{self.manifest.name}: a {self.manifest.task} model takes images one by one")
        shapes = {name: {entry.tensors[name].shape for entry in prepared} for name in prepared[0].tensors}
        if wrong := [seen for seen in shapes.values() if len(seen) > 1]:
            raise ValueError(f"images of one batch must have one working size, got {sorted(wrong[0])}")
        names = ", ".join(entry.name for entry in prepared)
        with _about(names):
            raw = self._run({name: np.concatenate([e.tensors[name] for e in prepared]) for name in shapes})
        results = []
        for index, entry in enumerate(prepared):
            assert entry.placement is not None
            with _about(entry.name):
                part = {name: array[index : index + 1] for name, array in raw.items()}
                results.append(self.task.postprocess(part, entry.placement, entry.image))
        return results

    def stream(
        self, sources: Iterable[ImageSource], *, max_pixels: int = DEFAULT_MAX_PIXELS, ahead: int = 3
    ) -> Iterator[Result | ImageError]:
        """Answers in the order of the sources; the next images are decoded while one is inferred.

        Args:
            sources: as for `predict`.
            max_pixels: as for `predict`.
            ahead: how many images are decoded and held before their turn.

        Yields:
            A result, or the error of an image that could not be used.
        """
        waiting: deque[Future[_Prepared]] = deque()
        remaining = iter(sources)
        with ThreadPoolExecutor(1, thread_name_prefix="densevit-read") as reader:
            try:
                while True:
                    while len(waiting) <= max(0, ahead) and (source := next(remaining, _END)) is not _END:
                        # whoever fills one array again and again means what it held when it was handed over
                        held = source.copy() if isinstance(source, np.ndarray) else source
                        waiting.append(reader.submit(self._prepare, held, max_pixels))
                    if not waiting:
                        return
                    try:
                        yield self._infer(waiting.popleft().result())
                    except ImageError as error:
                        yield error
            finally:
                # whoever stops listening waits for the image being read, and for no other
                for future in waiting:
                    future.cancel()

    def logits(self, source: ImageSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.float32]:
        """What the network gives for the padded working image, before any postprocessing.

        Returns:
            float32, (classes, h, w) for segmentation and (classes,) for classification.

        Raises:
            ImageError: as `predict`.
            ValueError: a model whose answer is no logits.
        """
        if "logits" not in {spec.name for spec in self.task.signatures[self._function].outputs}:
            raise ValueError(f"{self.manifest.name}: a {self.manifest.task} model has no logits; use predict")
        prepared = self._prepare(source, max_pixels)
        with _about(prepared.name):
            logits: NDArray[np.float32] = self.runtime.run(self._function, prepared.tensors)["logits"][0]
        return logits

    def _prepare(self, source: Any, max_pixels: int) -> _Prepared:
        name = str(source) if isinstance(source, (str, Path)) else type(source).__name__
        if isinstance(self.task, PiecewiseTask):
            return _Prepared(name, self.task.read(source, max_pixels=max_pixels), {}, None)
        image = imaging.read(source, max_pixels=max_pixels)
        with _about(name):
            return _Prepared(name, image, *self.task.preprocess(image))

    def _infer(self, prepared: _Prepared) -> Result:
        with _about(prepared.name):
            if prepared.placement is None:
                assert isinstance(self.task, PiecewiseTask)
                answer: Result = self.task.answer(prepared.image, self._run)
                return answer
            return self.task.postprocess(self._run(prepared.tensors), prepared.placement, prepared.image)

    def _run(self, tensors: Arrays) -> Arrays:
        return self.runtime.run(self._function, tensors)


@contextmanager
def _about(name: str) -> Iterator[None]:
    """What goes wrong with an image is said of that image, so that the others go on."""
    try:
        yield
    except (OutOfMemoryError, MemoryError) as error:
        raise ImageError(f"{name}: {one_line(error)}; try a smaller size") from error
    except ValueError as error:
        raise ImageError(f"{name}: {one_line(error)}") from error


class _Prepared(NamedTuple):
    """An image on its way to the network."""

    name: str
    image: Any
    tensors: dict[str, NDArray[Any]]
    placement: Placement | None  # None: the task itself prepares what it runs


_END = object()
