"""`load`: from a name or a file to a model with its weights and its runtime."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Unpack, overload

from densevit import weights
from densevit.core.errors import UnavailableError, UsageError
from densevit.core.files import make_folder
from densevit.core.manifest import CONVERTER, Manifest, ManifestError
from densevit.core.packages import require_torch
from densevit.predict.kinds import Classifier, Segmenter, Upscaler
from densevit.predict.model import Model
from densevit.predict.names import ClassifierName, PromptableName, SegmenterName, UpscalerName
from densevit.predict.segment_anything import SegmentAnything
from densevit.runtimes.base import GraphFileError, Runtime
from densevit.runtimes.options import LoadKeywords, LoadOptions
from densevit.runtimes.table import (
    GRAPH_SUFFIX,
    Artefact,
    RuntimeRow,
    choose_runtime,
    is_model_file,
    open_runtime,
)
from densevit.tasks.base import Task
from densevit.tasks.table import make_task
from densevit.weights import graph_cache as cache
from densevit.zoo import Entry, find_model, parse_resolutions

_log = logging.getLogger("densevit")


class LoadedModel(Protocol):
    """What every model has, whatever its task."""

    @property
    def manifest(self) -> Manifest:
        """Name, task, classes and sizes."""
        ...

    @property
    def task(self) -> Task[Any]:
        """Reads images and answers them."""
        ...

    @property
    def runtime(self) -> Runtime:
        """Runs the network."""
        ...

    def predict(self, source: Any, *, max_pixels: int = ...) -> Any:
        """The answer for an image."""
        ...

    def stream(self, sources: Any, *, max_pixels: int = ..., prefetch: int = ...) -> Any:
        """The answers for images, one after the other."""
        ...


KINDS: dict[str, Callable[[Any, Runtime, Manifest], LoadedModel]] = {
    "segmentation": Segmenter,
    "classification": Classifier,
    "super_resolution": Upscaler,
    "promptable": SegmentAnything,
}
"""Task -> the model that does more than answer images; all others are a `Model`."""


@overload
def load(model: SegmenterName, **options: Unpack[LoadKeywords]) -> Segmenter: ...
@overload
def load(model: ClassifierName, **options: Unpack[LoadKeywords]) -> Classifier: ...
@overload
def load(model: UpscalerName, **options: Unpack[LoadKeywords]) -> Upscaler: ...
@overload
def load(model: PromptableName, **options: Unpack[LoadKeywords]) -> SegmentAnything: ...
@overload
def load(model: str | Path, **options: Unpack[LoadKeywords]) -> LoadedModel: ...


def load(model: str | Path, **options: Unpack[LoadKeywords]) -> LoadedModel:
    """Loads a model; its task decides the type of its results. A promptable one is a `SegmentAnything`.

    Args:
        model: a name of the zoo, an ONNX file from densevit, or a weights file that identifies its model:
            densevit's .safetensors format, or an official or timm checkpoint of a published model. Suffixes may
            be in upper or lower case.
        options: the fields of `LoadOptions`:
            weights: a weights file for a named model: official, timm's, or densevit's .safetensors format.
            runtime: "auto" is OpenVINO on the CPU, eager PyTorch on any other device.
            precision: "auto" is bf16 where the CPU supports it and the model was verified in it, fp32 otherwise.
            device: "auto", "cpu", and for eager "cuda", "cuda:N", "mps".
            size: a size policy, or "published" for the paper's evaluation; the model's default when None.
            tile: side in pixels of the tiles that larger images are answered in; "auto" is the task's own choice
                (512 for super-resolution, whole images otherwise), "whole" the whole image at once.
            threads: CPU threads, 0 for the runtime's own choice.
            mode: "latency", or "throughput" to answer several images at once from several threads.

    Raises:
        UsageError: an unknown model or option, or options that exclude each other.
        InputError: a file that cannot be read, or with weights of another model.
        UnavailableError: PyTorch, a device, a precision or the network is needed and missing.
    """
    return load_with(model, LoadOptions(**options))


def load_with(model: str | Path, options: LoadOptions) -> LoadedModel:
    """`load` with the options as data."""
    files = _find_files(model, options.weights)
    # weights are turned into what a runtime opens; a file of another format decides
    suffix = "" if files.graph is None else files.graph.suffix.lower()
    row = choose_runtime(options.runtime, options.device, suffix)
    options = replace(options, runtime=row.name)
    runtime = _open(files, row, options)
    task = make_task(runtime.manifest, size=options.size, tile=options.tile)
    kind = KINDS.get(runtime.manifest.task, Model)
    return kind(task, runtime, runtime.manifest)


@dataclass(frozen=True)
class _Files:
    """The files of a model; at least one of them is given."""

    name: str
    graph: Path | None = None
    tensors: Path | None = None
    # of tensors that do not identify their model
    manifest: Manifest | None = None


def _find_files(model: str | Path, given: str | Path | None) -> _Files:
    text = str(model)
    path = Path(text)
    if path.suffix.lower() in weights.WEIGHTS_SUFFIXES:
        if given is not None:
            raise UsageError(f"{text}: give a model's name together with weights, not two files")
        return _Files(text, tensors=path)
    if is_model_file(path):
        if given is not None:
            raise UsageError(f"{text}: an ONNX file has its weights inside; leave weights out")
        return _Files(text, graph=path)
    entry = find_model(text)
    if given is not None:
        return _use_weights(entry, Path(given))
    if entry.graph is not None:
        return _Files(entry.name, entry.graph, entry.tensors, entry.manifest())
    if entry.hub is None:
        raise UnavailableError(f"{entry.name}: no weights are bundled with this installation; pass weights=FILE")
    return _Files(entry.name, tensors=weights.fetch(entry.hub), manifest=entry.manifest())


def _use_weights(entry: Entry, path: Path) -> _Files:
    suffix = path.suffix.lower()
    if suffix in weights.WEIGHTS_SUFFIXES:
        return _Files(entry.name, tensors=path, manifest=entry.manifest())
    if is_model_file(path):
        return _Files(entry.name, graph=path, manifest=entry.manifest())
    allowed = ", ".join((*weights.WEIGHTS_SUFFIXES, GRAPH_SUFFIX))
    raise weights.WeightsError(f"{path}: not a weights file; its suffix must be one of {allowed}")


def _open(files: _Files, row: RuntimeRow, options: LoadOptions) -> Runtime:
    """The runtime on the file that suits it: the graph, the weights, or a graph made of the weights."""
    if files.graph is not None and files.graph.suffix.lower() in row.suffixes:
        return open_runtime(Artefact(files.graph, files.manifest), options)
    if files.tensors is None:
        raise weights.WeightsError(
            f"{files.name}: runtime {row.name} for {files.name} needs a weights file, not an ONNX file"
        )
    if files.tensors.suffix.lower() in row.suffixes:
        return open_runtime(Artefact(files.tensors, files.manifest), options)
    graph = _make_graph(files)
    try:
        return open_runtime(Artefact(graph, files.manifest), options)
    except (GraphFileError, ManifestError):
        # a damaged file in the cache is simply made again
        graph.unlink(missing_ok=True)
        return open_runtime(Artefact(_make_graph(files), files.manifest), options)


def _make_graph(files: _Files) -> Path:
    """The ONNX file of a weights file: from the cache, or made through PyTorch and put there."""
    assert files.tensors is not None
    # tensors alone do not tell the resolution, which may then be in the file's name
    foreign = str(parse_resolutions(files.tensors.stem)) if files.manifest is None else files.manifest.to_json()
    path = cache.graph_path(weights.hash_file(files.tensors), foreign, CONVERTER)
    if path.is_file():
        cache.mark_used(path)
        return path
    require_torch(f"converting the weights of {files.name} to ONNX", "onnx", "onnxscript")
    from densevit.checkpoints.opening import open_network
    from densevit.export import write_graph

    network, manifest = open_network(files.tensors, files.manifest)
    _log.info("%s: converting the weights to ONNX, once; this takes some seconds", files.name)
    make_folder(path.parent)
    write_graph(network, manifest, path)
    cache.trim_cache(path)
    return path
