"""OpenVINO on the CPU: graph files, compiled for the shapes of the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from densevit.core.errors import UnavailableError
from densevit.core.manifest import METADATA_KEY, Manifest, ManifestError, describe_mismatch, match_manifest
from densevit.core.messages import last_line
from densevit.runtimes.base import (
    GraphFileError,
    Precision,
    check_inputs,
    choose_precision,
    recognize_out_of_memory,
)
from densevit.runtimes.options import LoadOptions, Mode
from densevit.runtimes.shapes import ShapeCache, Shapes
from densevit.runtimes.table import Artefact
from densevit.tasks.base import Signature, graph_name
from densevit.tasks.table import make_task
from densevit.weights import WeightsError

MAX_GRAPH_BYTES = 4 * 2**30

_HINTS: dict[str, ov.Type] = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16, "fp16": ov.Type.f16}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}


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
        mode: "latency" answers one call after the other with all threads; "throughput" several at once, of threads
            that call `run` at the same time.

    Raises:
        GraphFileError: missing, damaged, or without a function that it should have.
        ManifestError: without a manifest, or with a wrong one.
        UsageError: not a precision.
        UnavailableError: the CPU does not compute in this precision; fp16 on every CPU, because the sums of the
            attention overflow in it and all answers become NaN.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, path: Path, *, precision: str = "fp32", threads: int = 0, mode: Mode = "latency") -> None:
        if precision == "fp16":
            usable = "bf16 or fp32" if supports("bf16") else "fp32"
            raise UnavailableError(f"OpenVINO's fp16 on a CPU gives NaN for these models; use precision {usable}")
        core = ov.Core()
        model = _read(core, path)
        self.manifest = _read_manifest(model, path)
        self.precision = choose_precision(precision, self.manifest, supports)
        self._signatures = make_task(self.manifest).signatures
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": mode.upper(),
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._functions = {
            function: _Function(core, _extract_function(model, function, self._signatures, path), options)
            for function in self._signatures
        }

    @classmethod
    def open(cls, artefact: Artefact, options: LoadOptions) -> OpenVINORuntime:
        """Opens a graph file.

        Raises:
            UnavailableError: another device than the CPU, or as the class says.
            InputError: as the class says, or the file holds another model than was asked for.
        """
        if options.device not in ("auto", "cpu"):
            raise UnavailableError(
                f"the OpenVINO runtime works on the cpu, got device {options.device!r}; use runtime eager"
            )
        runtime = cls(artefact.path, precision=options.precision, threads=options.threads, mode=options.mode)
        if artefact.manifest is not None:
            matched = match_manifest(runtime.manifest, artefact.manifest)
            if matched is None:
                raise WeightsError(describe_mismatch(artefact.path, runtime.manifest, artefact.manifest))
            runtime.manifest = matched
        return runtime

    def run(self, function: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs a function by name; see `Runtime.run`."""
        check_inputs(self._signatures, function, tensors)
        signature = self._signatures[function]
        arrays = [np.require(tensors[spec.name], requirements=["C", "W"]) for spec in signature.inputs]
        with recognize_out_of_memory("OpenVINO", [array.shape for array in arrays]):
            outputs = self._functions[function].run(arrays)
        return {spec.name: array for spec, array in zip(signature.outputs, outputs, strict=True)}


class _Function:
    """One function, compiled for the shapes of its inputs.

    Args:
        core: of OpenVINO.
        model: the function's graph.
        options: of the compiler.
    """

    def __init__(self, core: ov.Core, model: ov.Model, options: Mapping[str, Any]) -> None:
        self._core = core
        self._model = model
        self._options = dict(options)
        self._compiled = ShapeCache(self._compile)

    def run(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Inputs in order -> outputs in order, which are copies."""
        for port, array in zip(self._model.inputs, arrays, strict=True):
            if not port.partial_shape.compatible(ov.PartialShape(list(array.shape))):
                raise ValueError(f"{port.any_name} must fit {port.partial_shape}, got {array.shape}")
            if not array.shape[0]:
                # OpenVINO 2026.4 writes beyond its memory in some graphs
                raise ValueError(f"{port.any_name} is empty, got {array.shape}")
        requests = self._compiled.find(tuple(array.shape for array in arrays))
        # in latency mode there is one, and callers from other threads wait for it
        request = requests.get()
        try:
            outputs = request.infer([ov.Tensor(array, shared_memory=bool(array.size)) for array in arrays])
            return [np.array(outputs[index]) for index in range(len(self._model.outputs))]
        finally:
            requests.put(request)

    def _compile(self, shapes: Shapes | None) -> SimpleQueue[ov.InferRequest]:
        model = self._model
        if shapes is not None:
            model = model.clone()
            model.reshape({index: list(shape) for index, shape in enumerate(shapes)})
        compiled = self._core.compile_model(model, "CPU", self._options)
        requests: SimpleQueue[ov.InferRequest] = SimpleQueue()
        throughput = self._options["PERFORMANCE_HINT"] == "THROUGHPUT"
        for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") if throughput else 1):
            requests.put(compiled.create_infer_request())
        return requests


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


def read_manifest(path: Path) -> Manifest:
    """The manifest in a graph file's header; nothing is compiled.

    Raises:
        GraphFileError: missing or damaged.
        ManifestError: without a manifest, or with a wrong one.
    """
    return _read_manifest(_read(ov.Core(), path), path)


def _read_manifest(model: ov.Model, path: Path) -> Manifest:
    if not model.has_rt_info(["framework", METADATA_KEY]):
        raise ManifestError(f"{path}: has no densevit header; export it with densevit")
    return Manifest.from_json(str(model.get_rt_info(["framework", METADATA_KEY]).value), source=str(path))
