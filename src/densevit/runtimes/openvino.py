"""OpenVINO on the CPU: graph files, compiled for the sizes that come."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from densevit.core.errors import InputError
from densevit.core.manifest import METADATA_KEY, Manifest, ManifestError
from densevit.core.messages import last_line
from densevit.runtimes.base import Precision, check_inputs, choose_precision, recognize_out_of_memory
from densevit.tasks.base import Signature, graph_name
from densevit.tasks.table import make_task

MAX_GRAPH_BYTES = 4 * 2**30
STATIC_SHAPES = 4
"""How many static shapes a process keeps compiled."""

_REMEMBERED_SHAPES = 4096
_Shapes = tuple[tuple[int, ...], ...]

_HINTS: dict[str, ov.Type] = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16, "fp16": ov.Type.f16}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}


class GraphFileError(InputError):
    """A graph file is missing, damaged, or not one of this project."""


@cache
def supports(precision: Precision) -> bool:
    """Whether this CPU computes in that precision natively."""
    return _CAPABILITIES[precision] in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINORuntime:
    """A graph file on the CPU; each of its functions is compiled on first use.

    Args:
        path: an ONNX file that densevit wrote.
        precision: of the arithmetic; "auto" is bf16 where the CPU has it and the manifest lists it as
            verified, fp32 otherwise. The hint is always given, as OpenVINO's own choice may be bf16.
        threads: CPU threads, 0 for OpenVINO's own choice.

    Raises:
        GraphFileError: missing, damaged, or without a manifest or a function that it should have.
        UnavailableError: the CPU does not compute in this precision.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, path: Path, *, precision: Precision | Literal["auto"] = "fp32", threads: int = 0) -> None:
        core = ov.Core()
        model = _read(core, path)
        self.manifest = _manifest(model, path)
        self.precision = choose_precision(precision, self.manifest, supports)
        self._signatures = make_task(self.manifest).signatures
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._functions = {
            function: _Compiled(core, _part(model, function, self._signatures, path), options)
            for function in self._signatures
        }

    def run(self, function: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs a function by name; see `Runtime.run`."""
        check_inputs(self._signatures, function, tensors)
        signature = self._signatures[function]
        arrays = [np.require(tensors[spec.name], requirements=["C", "W"]) for spec in signature.inputs]
        with recognize_out_of_memory("OpenVINO", [array.shape for array in arrays]):
            outputs = self._functions[function].run(arrays)
        return {spec.name: array for spec, array in zip(signature.outputs, outputs, strict=True)}


class _Compiled:
    """One function, compiled for the shapes that come.

    A static shape runs a fifth faster than the dynamic graph and takes a fraction of a second to compile. The
    first shape is compiled statically at once, a later one when it comes a second time, up to a few; for all
    others the dynamic graph serves.
    """

    def __init__(self, core: ov.Core, model: ov.Model, options: dict[str, Any]) -> None:
        self._core = core
        self._model = model
        self._options = options
        self._lock = threading.Lock()
        self._static: dict[_Shapes, ov.InferRequest] = {}
        self._dynamic: ov.InferRequest | None = None
        self._seen: set[_Shapes] = set()

    def run(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Inputs in order -> outputs in order, which are copies."""
        for port, array in zip(self._model.inputs, arrays, strict=True):
            if not port.partial_shape.compatible(ov.PartialShape(list(array.shape))):
                raise ValueError(f"{port.any_name} must fit {port.partial_shape}, got {array.shape}")
            if not array.shape[0]:
                # OpenVINO 2026.4 writes beyond its memory in some graphs
                raise ValueError(f"{port.any_name} holds nothing, got {array.shape}")
        with self._lock:
            request = self._request(tuple(array.shape for array in arrays))
            outputs = request.infer([ov.Tensor(array, shared_memory=bool(array.size)) for array in arrays])
            return [np.array(outputs[index]) for index in range(len(self._model.outputs))]

    def _request(self, shapes: _Shapes) -> ov.InferRequest:
        if shapes in self._static:
            return self._static[shapes]
        wanted = not self._seen or shapes in self._seen
        if len(self._seen) < _REMEMBERED_SHAPES:
            self._seen.add(shapes)
        if wanted and len(self._static) < STATIC_SHAPES:
            model = self._model.clone()
            model.reshape({index: list(shape) for index, shape in enumerate(shapes)})
            self._static[shapes] = self._compile(model)
            return self._static[shapes]
        if self._dynamic is None:
            self._dynamic = self._compile(self._model)
        return self._dynamic

    def _compile(self, model: ov.Model) -> ov.InferRequest:
        return self._core.compile_model(model, "CPU", self._options).create_infer_request()


def _part(model: ov.Model, function: str, signatures: Mapping[str, Signature], path: Path) -> ov.Model:
    """The part of a file's graph that computes one function."""
    signature = signatures[function]
    inputs = {node.output(0).any_name: node for node in model.get_parameters()}
    outputs = {node.input_value(0).any_name: node for node in model.get_results()}
    names = [
        [graph_name(function, spec.name, signatures) for spec in specs]
        for specs in (signature.inputs, signature.outputs)
    ]
    for found, wanted in zip((inputs, outputs), names, strict=True):
        if missing := [name for name in wanted if name not in found]:
            raise GraphFileError(
                f"{path}: holds no function {function!r} ({missing[0]!r} is missing); export it again"
            )
    return ov.Model([outputs[name] for name in names[1]], [inputs[name] for name in names[0]], function)


def _read(core: ov.Core, path: Path) -> ov.Model:
    if not path.is_file():
        raise GraphFileError(f"{path}: no such graph file")
    if path.stat().st_size > MAX_GRAPH_BYTES:
        raise GraphFileError(f"{path}: larger than {MAX_GRAPH_BYTES >> 30} GiB, not a graph of densevit")
    try:
        return core.read_model(path)
    except RuntimeError as error:
        raise GraphFileError(f"{path}: not a readable graph file ({last_line(error)})") from error


def _manifest(model: ov.Model, path: Path) -> Manifest:
    if not model.has_rt_info(["framework", METADATA_KEY]):
        raise ManifestError(f"{path}: has no densevit header; export it with densevit")
    return Manifest.from_json(str(model.get_rt_info(["framework", METADATA_KEY]).value), source=str(path))
