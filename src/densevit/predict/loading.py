"""`load`: a name or a file becomes a model in use, with its weights and its runtime."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, overload

from densevit import weights
from densevit.core.errors import UnavailableError
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
    """A model ready to predict; its task decides the type of its results. A promptable one is a `SegmentAnything`.

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
    entry = find_model(text)
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
        raise UnavailableError(f"the OpenVINO runtime works on the cpu, got device {device!r}; use runtime eager")
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
        settled = match_manifest(manifest, origin.manifest)
        if settled is None:
            raise weights.WeightsError(describe_mismatch(graph, manifest, origin.manifest))
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
    task = cast("Task[Any]", make_task(manifest, size=size))
    kind = SegmentAnything if isinstance(task, Promptable) else Model
    return kind(task, runtime, manifest)


def _network(origin: _Origin, purpose: str, packages: tuple[str, ...]) -> tuple[Network, Manifest]:
    if origin.tensors is None:
        raise weights.WeightsError(f"{origin.name}: {purpose} needs a weights file, a graph file does not do")
    require_torch(purpose, *packages)
    from densevit.checkpoints.opening import open_network

    return open_network(origin.tensors, origin.manifest)


def _converted(origin: _Origin) -> Path:
    """The graph of a weights file: from the cache, or made through PyTorch and put there."""
    assert origin.tensors is not None
    # a file whose tensors must tell what it is may need its name for the resolution
    foreign = str(parse_resolutions(origin.tensors.stem)) if origin.manifest is None else origin.manifest.to_json()
    path = cache.graph_path(weights.hash_file(origin.tensors), foreign, CONVERTER)
    if path.is_file():
        cache.mark_used(path)
        return path
    purpose = f"turning the weights of {origin.name} into a graph"
    network, manifest = _network(origin, purpose, ("onnx", "onnxscript"))
    _log.info("%s: making a graph of the weights, once; this takes some seconds", origin.name)
    from densevit.export import write_graph

    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(network, manifest, path)
    cache.trim_cache(path)
    return path
