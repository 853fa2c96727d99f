"""OpenVINO on the CPU: graph files, compiled for the shapes of the inputs."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from densevit.core.errors import InputError, UnavailableError
from densevit.core.manifest import METADATA_KEY, Manifest, ManifestError
from densevit.core.messages import last_line
from densevit.runtimes.base import Precision, check_inputs, choose_precision, recognize_out_of_memory
from densevit.tasks.base import Signature, graph_name
from densevit.tasks.table import make_task

MAX_GRAPH_BYTES = 4 * 2**30
STATIC_SHAPES = 4
"""Largest number of static shapes that a function keeps compiled."""
RUNS_BEFORE_EVICTION = 8
"""Runs of a new shape without one of the least recently used static shape, after which it takes its place.

Compiling costs about as much as ten runs gain; with a smaller number, images of many sizes would compile for ever.
"""

_REMEMBERED_SHAPES = 1024
_Shapes = tuple[tuple[int, ...], ...]

_HINTS: dict[str, ov.Type] = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16, "fp16": ov.Type.f16}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}


class GraphFileError(InputError):
    """A graph file is missing, damaged, or not one of this project."""


@cache
def supports(precision: Precision) -> bool:
    """Whether this CPU computes natively in that precision; see `OpenVINORuntime` about fp16."""
    return _CAPABILITIES[precision] in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINORuntime:
    """A graph file on the CPU; each of its functions is compiled on first use.

    Args:
        path: an ONNX file that densevit wrote.
        precision: of the arithmetic; "auto" is bf16 where the CPU has it and the manifest lists it as
            verified, fp32 otherwise. The hint is always given, as OpenVINO's own choice may be bf16.
        threads: CPU threads, 0 for OpenVINO's own choice.

    Raises:
        GraphFileError: missing, damaged, or without a function that it should have.
        ManifestError: without a manifest, or with a wrong one.
        UsageError: not a precision.
        UnavailableError: the CPU does not compute in this precision; fp16 on every CPU, because the sums of the
            attention overflow in it and all answers become NaN.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, path: Path, *, precision: Precision | Literal["auto"] = "fp32", threads: int = 0) -> None:
        if precision == "fp16":
            usable = "bf16 or fp32" if supports("bf16") else "fp32"
            raise UnavailableError(f"OpenVINO's fp16 on a CPU gives NaN for these models; use precision {usable}")
        core = ov.Core()
        model = _read(core, path)
        self.manifest = _read_manifest(model, path)
        self.precision = choose_precision(precision, self.manifest, supports)
        self._signatures = make_task(self.manifest).signatures
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._functions = {
            function: _Compiled(core, _extract_function(model, function, self._signatures, path), options)
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
    """One function, compiled for the shapes of its inputs.

    A static shape runs a fifth faster than the dynamic graph and takes a fraction of a second to compile. The
    first shape is compiled at once, a later one when it comes a second time. When `STATIC_SHAPES` are compiled, a
    shape that comes often takes the place of the least recently used one. All others run in the dynamic graph.
    """

    def __init__(self, core: ov.Core, model: ov.Model, options: dict[str, Any]) -> None:
        self._core = core
        self._model = model
        self._options = options
        self._lock = threading.Lock()
        # both with the least recently used first
        self._static: OrderedDict[_Shapes, ov.InferRequest] = OrderedDict()
        self._last_runs: OrderedDict[_Shapes, deque[int]] = OrderedDict()
        self._dynamic: ov.InferRequest | None = None
        self._runs = 0

    def run(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Inputs in order -> outputs in order, which are copies."""
        for port, array in zip(self._model.inputs, arrays, strict=True):
            if not port.partial_shape.compatible(ov.PartialShape(list(array.shape))):
                raise ValueError(f"{port.any_name} must fit {port.partial_shape}, got {array.shape}")
            if not array.shape[0]:
                # OpenVINO 2026.4 writes beyond its memory in some graphs
                raise ValueError(f"{port.any_name} is empty, got {array.shape}")
        with self._lock:
            request = self._choose_request(tuple(array.shape for array in arrays))
            outputs = request.infer([ov.Tensor(array, shared_memory=bool(array.size)) for array in arrays])
            return [np.array(outputs[index]) for index in range(len(self._model.outputs))]

    def _choose_request(self, shapes: _Shapes) -> ov.InferRequest:
        last_runs = self._record_run(shapes)
        if shapes in self._static:
            self._static.move_to_end(shapes)
            return self._static[shapes]
        if self._deserves_static(last_runs):
            if len(self._static) >= STATIC_SHAPES:
                self._static.popitem(last=False)
            model = self._model.clone()
            model.reshape({index: list(shape) for index, shape in enumerate(shapes)})
            self._static[shapes] = self._compile(model)
            return self._static[shapes]
        if self._dynamic is None:
            self._dynamic = self._compile(self._model)
        return self._dynamic

    def _record_run(self, shapes: _Shapes) -> deque[int]:
        """The numbers of the last runs with these shapes, this one included."""
        last_runs = self._last_runs.pop(shapes, None) or deque(maxlen=RUNS_BEFORE_EVICTION)
        last_runs.append(self._runs)
        self._runs += 1
        self._last_runs[shapes] = last_runs
        if len(self._last_runs) > _REMEMBERED_SHAPES:
            self._last_runs.popitem(last=False)
        return last_runs

    def _deserves_static(self, last_runs: deque[int]) -> bool:
        if len(self._static) < STATIC_SHAPES:
            return last_runs[0] == 0 or len(last_runs) > 1
        victim = self._last_runs.get(next(iter(self._static)))
        last_run_of_victim = -1 if victim is None else victim[-1]
        return len(last_runs) == RUNS_BEFORE_EVICTION and last_runs[0] > last_run_of_victim

    def _compile(self, model: ov.Model) -> ov.InferRequest:
        return self._core.compile_model(model, "CPU", self._options).create_infer_request()


def _extract_function(model: ov.Model, function: str, signatures: Mapping[str, Signature], path: Path) -> ov.Model:
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


def _read_manifest(model: ov.Model, path: Path) -> Manifest:
    if not model.has_rt_info(["framework", METADATA_KEY]):
        raise ManifestError(f"{path}: has no densevit header; export it with densevit")
    return Manifest.from_json(str(model.get_rt_info(["framework", METADATA_KEY]).value), source=str(path))
