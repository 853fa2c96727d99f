"""`load`: from a name or a file to a model with its weights and its runtime."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, overload

from densevit import weights
from densevit.core.errors import UnavailableError, UsageError
from densevit.core.files import make_folder
from densevit.core.manifest import CONVERTER, Manifest, ManifestError, describe_mismatch, match_manifest
from densevit.core.packages import require_torch
from densevit.predict.model import Model
from densevit.predict.segment_anything import SegmentAnything
from densevit.runtimes.base import PRECISIONS, Precision, Runtime
from densevit.tasks.base import Task
from densevit.tasks.promptable import Promptable
from densevit.tasks.table import make_task
from densevit.weights import graph_cache as cache
from densevit.zoo import Entry, find_model, parse_resolutions

if TYPE_CHECKING:
    from densevit.models.build import Network

_log = logging.getLogger("densevit")

RuntimeName = Literal["auto", "openvino", "eager"]
PromptableName = Literal["sam-l0", "sam-l1", "sam-l2", "sam-xl0", "sam-xl1", "sam-b1", "mobile-sam"]
GRAPH_SUFFIX = ".onnx"


@overload
def load(
    model: PromptableName,
    *,
    weights: str | Path | None = ...,
    runtime: RuntimeName = ...,
    precision: Precision | Literal["auto"] = ...,
    device: str = ...,
    size: str | None = ...,
    threads: int = ...,
) -> SegmentAnything: ...


@overload
def load(
    model: str | Path,
    *,
    weights: str | Path | None = ...,
    runtime: RuntimeName = ...,
    precision: Precision | Literal["auto"] = ...,
    device: str = ...,
    size: str | None = ...,
    threads: int = ...,
) -> Model[Any]: ...


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
    """Loads a model; its task decides the type of its results. A promptable one is a `SegmentAnything`.

    Args:
        model: a name of the zoo, an ONNX file from densevit, or a weights file that identifies its model:
            densevit's .safetensors format, or an official or timm checkpoint of a published model. Suffixes may
            be in upper or lower case.
        weights: a weights file for a named model: official, timm's, or densevit's .safetensors format.
        runtime: "auto" is OpenVINO on the CPU, eager PyTorch on any other device.
        precision: "auto" is bf16 where the CPU supports it and the model was verified in it, fp32 otherwise.
        device: "auto", "cpu", and for eager "cuda", "cuda:N", "mps".
        size: a size policy, or "published" for the paper's evaluation; the model's default when None.
        threads: CPU threads, 0 for the runtime's own choice.

    Raises:
        UsageError: an unknown model or option, or options that exclude each other.
        InputError: a file that cannot be read, or with weights of another model.
        UnavailableError: PyTorch, a device, a precision or the network is needed and missing.
    """
    if runtime not in get_args(RuntimeName):
        raise UsageError(f"runtime must be one of {', '.join(get_args(RuntimeName))}, got {runtime!r}")
    if precision not in ("auto", *PRECISIONS):
        raise UsageError(f"precision must be auto or one of {', '.join(PRECISIONS)}, got {precision!r}")
    files = _find_files(model, weights)
    if runtime == "auto":
        runtime = "openvino" if device in ("auto", "cpu") else "eager"
    if runtime == "openvino":
        return _load_openvino(files, precision, device, size, threads)
    return _load_eager(files, precision, device, size, threads)


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
    suffix = path.suffix.lower()
    if suffix == GRAPH_SUFFIX:
        if given is not None:
            raise UsageError(f"{text}: an ONNX file has its weights inside; leave weights out")
        return _Files(text, graph=path)
    if suffix in weights.WEIGHTS_SUFFIXES:
        if given is not None:
            raise UsageError(f"{text}: give a model's name together with weights, not two files")
        return _Files(text, tensors=path)
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
    if suffix == GRAPH_SUFFIX:
        return _Files(entry.name, graph=path, manifest=entry.manifest())
    if suffix not in weights.WEIGHTS_SUFFIXES:
        allowed = ", ".join((*weights.WEIGHTS_SUFFIXES, GRAPH_SUFFIX))
        raise weights.WeightsError(f"{path}: not a weights file; its suffix must be one of {allowed}")
    return _Files(entry.name, tensors=path, manifest=entry.manifest())


def _load_openvino(
    files: _Files, precision: Precision | Literal["auto"], device: str, size: str | None, threads: int
) -> Model[Any]:
    from densevit.runtimes.openvino import GraphFileError, OpenVINORuntime

    if device not in ("auto", "cpu"):
        raise UnavailableError(f"the OpenVINO runtime works on the cpu, got device {device!r}; use runtime eager")
    graph = files.graph or _make_graph(files)
    try:
        runtime = OpenVINORuntime(graph, precision=precision, threads=threads)
    except (GraphFileError, ManifestError):
        if files.graph is not None:
            raise
        # a damaged file in the cache is simply made again
        graph.unlink(missing_ok=True)
        runtime = OpenVINORuntime(_make_graph(files), precision=precision, threads=threads)
    manifest = runtime.manifest
    if files.manifest is not None:
        matched = match_manifest(manifest, files.manifest)
        if matched is None:
            raise weights.WeightsError(describe_mismatch(graph, manifest, files.manifest))
        manifest = matched
    return _make_model(runtime, manifest, size)


def _load_eager(
    files: _Files, precision: Precision | Literal["auto"], device: str, size: str | None, threads: int
) -> Model[Any]:
    network, manifest = _open_network(files, f"runtime eager for {files.name}", ())
    from densevit.runtimes.eager import EagerRuntime

    runtime = EagerRuntime(network, manifest, device=device, precision=precision, threads=threads)
    return _make_model(runtime, manifest, size)


def _make_model(runtime: Runtime, manifest: Manifest, size: str | None) -> Model[Any]:
    task = cast("Task[Any]", make_task(manifest, size=size))
    kind = SegmentAnything if isinstance(task, Promptable) else Model
    return kind(task, runtime, manifest)


def _open_network(files: _Files, purpose: str, packages: tuple[str, ...]) -> tuple[Network, Manifest]:
    if files.tensors is None:
        raise weights.WeightsError(f"{files.name}: {purpose} needs a weights file, not an ONNX file")
    require_torch(purpose, *packages)
    from densevit.checkpoints.opening import open_network

    return open_network(files.tensors, files.manifest)


def _make_graph(files: _Files) -> Path:
    """The ONNX file of a weights file: from the cache, or made through PyTorch and put there."""
    assert files.tensors is not None
    # tensors alone do not tell the resolution, which may then be in the file's name
    foreign = str(parse_resolutions(files.tensors.stem)) if files.manifest is None else files.manifest.to_json()
    path = cache.graph_path(weights.hash_file(files.tensors), foreign, CONVERTER)
    if path.is_file():
        cache.mark_used(path)
        return path
    purpose = f"converting the weights of {files.name} to ONNX"
    network, manifest = _open_network(files, purpose, ("onnx", "onnxscript"))
    _log.info("%s: converting the weights to ONNX, once; this takes some seconds", files.name)
    from densevit.export import write_graph

    make_folder(path.parent)
    write_graph(network, manifest, path)
    cache.trim_cache(path)
    return path
