"""Models for use: `load` finds weights and runtime, `Model` turns pictures into results."""

from __future__ import annotations

import importlib.util
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar, cast, get_args, overload

import numpy as np
from numpy.typing import NDArray

from densevit import cache, imaging, weights
from densevit.imaging import DEFAULT_MAX_PIXELS, Picture, PictureError, Placement
from densevit.manifest import CONVERTER, Manifest, ManifestError, answering, other_model
from densevit.messages import one_line
from densevit.runtimes.base import PRECISIONS, Precision, Runtime, RuntimeFailedError, RuntimeUnavailableError
from densevit.tasks.base import Arrays, PiecewiseTask, Task
from densevit.tasks.table import task_for
from densevit.zoo import Entry, find, sides_in

if TYPE_CHECKING:
    from densevit.models.build import Network

_log = logging.getLogger("densevit")

RuntimeName = Literal["auto", "openvino", "eager"]
GRAPH_SUFFIX = ".onnx"


class TorchNeededError(RuntimeUnavailableError):
    """What was asked for needs PyTorch, and it is not installed."""


Result = TypeVar("Result")


def require_torch(purpose: str, *packages: str, extra: str = "torch") -> None:
    """Refuses what cannot be done without PyTorch, or what comes with it.

    Args:
        purpose: what needs it, for the message.
        packages: what is needed beside torch.
        extra: of this package, which brings it.

    Raises:
        TorchNeededError: something is not installed.
    """
    if missing := [package for package in ("torch", *packages) if importlib.util.find_spec(package) is None]:
        raise TorchNeededError(f"{purpose} needs {', '.join(missing)}: pip install 'densevit[{extra}]'")


class Model(Generic[Result]):
    """A task, a runtime, and the pictures that pass through them.

    Args:
        task: pre- and postprocessing.
        runtime: runs the network.
        manifest: what the model says of itself.
    """

    def __init__(self, task: Task[Result], runtime: Runtime, manifest: Manifest) -> None:
        self.task = task
        self.runtime = runtime
        self.manifest = manifest
        # the one that takes the picture
        self._function = next(iter(task.signatures))

    def __repr__(self) -> str:
        runtime = self.runtime
        return f"Model({self.manifest.name}, {runtime.name}, {runtime.precision}, {runtime.device})"

    @overload
    def predict(self, source: Picture, *, max_pixels: int = ...) -> Result: ...

    @overload
    def predict(self, source: list[Any], *, max_pixels: int = ...) -> list[Result]: ...

    def predict(
        self, source: Picture | list[Any], *, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> Result | list[Result]:
        """The answer for a picture, or for each of a list.

        Args:
            source: a path, a PIL image, a (H, W, 3) uint8 RGB array, or a list of such.
            max_pixels: larger files are refused before they are decoded.

        Raises:
            PictureError: a picture cannot be read or used; `stream` goes on with the others.
        """
        if isinstance(source, list):
            results = []
            for result in self.stream(source, max_pixels=max_pixels):
                if isinstance(result, PictureError):
                    raise result
                results.append(result)
            return results
        return self._infer(self._prepare(source, max_pixels))

    def stream(
        self, sources: Iterable[Picture], *, max_pixels: int = DEFAULT_MAX_PIXELS, ahead: int = 3
    ) -> Iterator[Result | PictureError]:
        """Answers in the order of the sources; the next pictures are decoded while one is inferred.

        Args:
            sources: as for `predict`.
            max_pixels: as for `predict`.
            ahead: how many pictures are decoded and held before their turn.

        Yields:
            A result, or the error of a picture that could not be used.
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
                    except PictureError as error:
                        yield error
            finally:
                # whoever stops listening waits for the picture being read, and for no other
                for future in waiting:
                    future.cancel()

    def logits(self, source: Picture, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.float32]:
        """What the network gives for the padded working picture, before any postprocessing.

        Returns:
            float32, (classes, h, w) for segmentation and (classes,) for classification.

        Raises:
            PictureError: as `predict`.
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
        picture = imaging.read(source, max_pixels=max_pixels)
        with _about(name):
            return _Prepared(name, picture, *self.task.preprocess(picture))

    def _infer(self, prepared: _Prepared) -> Result:
        with _about(prepared.name):
            if prepared.placement is None:
                assert isinstance(self.task, PiecewiseTask)
                answer: Result = self.task.answer(prepared.picture, self._run)
                return answer
            return self.task.postprocess(self._run(prepared.tensors), prepared.placement, prepared.picture)

    def _run(self, tensors: Arrays) -> Arrays:
        return self.runtime.run(self._function, tensors)


@contextmanager
def _about(name: str) -> Iterator[None]:
    """What goes wrong with a picture is said of that picture, so that the others go on."""
    try:
        yield
    except (RuntimeFailedError, MemoryError) as error:
        raise PictureError(f"{name}: {one_line(error)}; try a smaller size") from error
    except ValueError as error:
        raise PictureError(f"{name}: {one_line(error)}") from error


class _Prepared(NamedTuple):
    """A picture on its way to the network."""

    name: str
    picture: Any
    tensors: dict[str, NDArray[Any]]
    placement: Placement | None  # None: the task itself prepares what it runs


_END = object()


def load(
    model: str | Path,
    *,
    weights: str | Path | None = None,
    runtime: RuntimeName = "auto",
    precision: Precision | Literal["auto"] = "auto",
    device: str = "auto",
    size: str | None = None,
    threads: int = 0,
) -> Model[Any]:
    """A model ready to predict; its task decides the type of its results.

    Args:
        model: a name of the zoo, a graph file (`.onnx`) or a weights file that says what it is: an own one
            (`.safetensors`), or an official or timm checkpoint of a published model.
        weights: a weights file for a named model: official, timm's, or own.
        runtime: "auto" is OpenVINO on the CPU, eager PyTorch on any other device.
        precision: "auto" is bf16 where the CPU has it and the model was verified in it, fp32 otherwise.
        device: "auto", "cpu", and for eager "cuda", "cuda:N", "mps".
        size: a size policy, "published" for the paper's evaluation; the model's own when None.
        threads: CPU threads, 0 for the runtime's own choice.

    Raises:
        ValueError: unknown model or option, missing or wrong weights, or what needs PyTorch without it;
            the message says what to do.
    """
    if runtime not in get_args(RuntimeName):
        raise ValueError(f"runtime must be one of {', '.join(get_args(RuntimeName))}, got {runtime!r}")
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(f"precision must be auto or one of {', '.join(PRECISIONS)}, got {precision!r}")
    origin = _origin(model, weights)
    if runtime == "auto":
        runtime = "openvino" if device in ("auto", "cpu") else "eager"
    if runtime == "openvino":
        return _load_openvino(origin, precision, device, size, threads)
    return _load_eager(origin, precision, device, size, threads)


@dataclass(frozen=True)
class _Origin:
    """What a model can be made from; at least one of the files is there."""

    name: str
    graph: Path | None = None
    tensors: Path | None = None
    # what the tensors are, where they do not say it themselves
    manifest: Manifest | None = None


def _origin(model: str | Path, given: str | Path | None) -> _Origin:
    text = str(model)
    path = Path(text)
    if path.suffix == GRAPH_SUFFIX:
        if given is not None:
            raise ValueError(f"{text}: a graph file holds its weights; leave weights out")
        return _Origin(text, graph=path)
    if path.suffix in weights.WEIGHTS_SUFFIXES:
        if given is not None:
            raise ValueError(f"{text}: give a model's name together with weights, not two files")
        return _Origin(text, tensors=path)
    entry = find(text)
    if given is not None:
        return _given_weights(entry, Path(given))
    if entry.graph is not None:
        return _Origin(entry.name, entry.graph, entry.tensors, entry.manifest())
    if entry.hub is None:
        raise weights.WeightsError(
            f"{entry.name}: no weights are bundled with this installation; pass weights=FILE"
        )
    return _Origin(entry.name, tensors=weights.fetch(entry.hub), manifest=entry.manifest())


def _given_weights(entry: Entry, path: Path) -> _Origin:
    if path.suffix == GRAPH_SUFFIX:
        return _Origin(entry.name, graph=path, manifest=entry.manifest())
    if path.suffix not in weights.WEIGHTS_SUFFIXES:
        allowed = ", ".join((*weights.WEIGHTS_SUFFIXES, GRAPH_SUFFIX))
        raise weights.WeightsError(f"{path}: not a weights file; its suffix must be one of {allowed}")
    return _Origin(entry.name, tensors=path, manifest=entry.manifest())


def _load_openvino(
    origin: _Origin, precision: Precision | Literal["auto"], device: str, size: str | None, threads: int
) -> Model[Any]:
    from densevit.runtimes.openvino import GraphFileError, OpenVINORuntime

    if device not in ("auto", "cpu"):
        raise RuntimeUnavailableError(
            f"the OpenVINO runtime works on the cpu, got device {device!r}; use runtime eager"
        )
    graph = origin.graph or _converted(origin)
    try:
        runtime = OpenVINORuntime(graph, precision=precision, threads=threads)
    except (GraphFileError, ManifestError):
        if origin.graph is not None:
            raise
        # a damaged file in the cache is ours to make again
        graph.unlink(missing_ok=True)
        runtime = OpenVINORuntime(_converted(origin), precision=precision, threads=threads)
    manifest = runtime.manifest
    if origin.manifest is not None:
        settled = answering(manifest, origin.manifest)
        if settled is None:
            raise weights.WeightsError(other_model(graph, manifest, origin.manifest))
        manifest = settled
    return _model(runtime, manifest, size)


def _load_eager(
    origin: _Origin, precision: Precision | Literal["auto"], device: str, size: str | None, threads: int
) -> Model[Any]:
    network, manifest = _network(origin, f"runtime eager for {origin.name}", ())
    from densevit.runtimes.eager import EagerRuntime

    runtime = EagerRuntime(network, manifest, device=device, precision=precision, threads=threads)
    return _model(runtime, manifest, size)


def _model(runtime: Runtime, manifest: Manifest, size: str | None) -> Model[Any]:
    return Model(cast("Task[Any]", task_for(manifest, size=size)), runtime, manifest)


def _network(origin: _Origin, purpose: str, packages: tuple[str, ...]) -> tuple[Network, Manifest]:
    if origin.tensors is None:
        raise weights.WeightsError(f"{origin.name}: {purpose} needs a weights file, a graph file does not do")
    require_torch(purpose, *packages)
    from densevit.foreign import open_network

    return open_network(origin.tensors, origin.manifest)


def _converted(origin: _Origin) -> Path:
    """The graph of a weights file: from the cache, or made through PyTorch and put there."""
    assert origin.tensors is not None
    # a file whose tensors must tell what it is may need its name for the resolution
    foreign = str(sides_in(origin.tensors.stem)) if origin.manifest is None else origin.manifest.to_json()
    path = cache.graph_path(weights.hash_file(origin.tensors), foreign, CONVERTER)
    if path.is_file():
        cache.touch(path)
        return path
    purpose = f"turning the weights of {origin.name} into a graph"
    network, manifest = _network(origin, purpose, ("onnx", "onnxscript"))
    _log.info("%s: making a graph of the weights, once; this takes some seconds", origin.name)
    from densevit.graph import write_graph

    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(network, manifest, path)
    cache.trim(path)
    return path
