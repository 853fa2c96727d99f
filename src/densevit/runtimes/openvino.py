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

from densevit.manifest import METADATA_KEY, Manifest, ManifestError
from densevit.messages import last_line
from densevit.runtimes.base import Precision, RuntimeFailedError, check_inputs, choose_precision
from densevit.tasks.table import task_for

MAX_GRAPH_BYTES = 4 * 2**30
STATIC_SHAPES = 4
"""How many static shapes a process keeps compiled."""

_REMEMBERED_SHAPES = 4096

_HINTS: dict[str, ov.Type] = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16, "fp16": ov.Type.f16}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}


class GraphFileError(ValueError):
    """A graph file is missing, damaged, or not one of this project."""


@cache
def supports(precision: Precision) -> bool:
    """Whether this CPU computes in that precision natively."""
    return _CAPABILITIES[precision] in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINORuntime:
    """A graph file on the CPU.

    A static shape runs a fifth faster than the dynamic graph and takes a fraction of a second to compile. The
    first shape is compiled statically at once, a later one when it comes a second time, up to a few; for all
    others the dynamic graph serves.

    Args:
        path: an ONNX file that densevit wrote.
        precision: of the arithmetic; "auto" is bf16 where the CPU has it and the manifest lists it as
            verified, fp32 otherwise. The hint is always given, as OpenVINO's own choice may be bf16.
        threads: CPU threads, 0 for OpenVINO's own choice.

    Raises:
        GraphFileError: missing, damaged, or without a manifest.
        RuntimeUnavailableError: the CPU does not compute in this precision.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, path: Path, *, precision: Precision | Literal["auto"] = "fp32", threads: int = 0) -> None:
        self._core = ov.Core()
        self._model = _read(self._core, path)
        self.manifest = _manifest(self._model, path)
        self.precision = choose_precision(precision, self.manifest, supports)
        self._signatures = task_for(self.manifest).signatures
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
        }
        if threads:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._lock = threading.Lock()
        self._static: dict[tuple[int, ...], ov.InferRequest] = {}
        self._dynamic: ov.InferRequest | None = None
        self._seen: set[tuple[int, ...]] = set()

    def run(self, function: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs the one function of a graph file; see `Runtime.run`."""
        check_inputs(self._signatures, function, tensors)
        (source,) = self._model.inputs
        array = np.require(tensors[source.any_name], requirements=["C", "W"])
        if not source.partial_shape.compatible(ov.PartialShape(list(array.shape))):
            raise ValueError(f"{source.any_name} must fit {source.partial_shape}, got {array.shape}")
        try:
            with self._lock:
                request = self._request(array.shape)
                outputs = request.infer({source.any_name: ov.Tensor(array, shared_memory=True)})
                return {port.any_name: np.array(value) for port, value in outputs.items()}
        except RuntimeError as error:
            raise RuntimeFailedError(f"OpenVINO failed on {array.shape} ({last_line(error)})") from error

    def _request(self, shape: tuple[int, ...]) -> ov.InferRequest:
        if shape in self._static:
            return self._static[shape]
        wanted = not self._seen or shape in self._seen
        if len(self._seen) < _REMEMBERED_SHAPES:
            self._seen.add(shape)
        if wanted and len(self._static) < STATIC_SHAPES:
            model = self._model.clone()
            model.reshape(list(shape))
            self._static[shape] = self._compile(model)
            return self._static[shape]
        if self._dynamic is None:
            self._dynamic = self._compile(self._model)
        return self._dynamic

    def _compile(self, model: ov.Model) -> ov.InferRequest:
        return self._core.compile_model(model, "CPU", self._options).create_infer_request()


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
