"""Writes a model as a graph file: ONNX with dynamic batch and size, its manifest inside, compared afterwards."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray
from torch import nn

from densevit.core.errors import InputError
from densevit.core.files import write_atomically
from densevit.core.manifest import CONVERTER, METADATA_KEY, GoldenPair, Manifest
from densevit.core.messages import first_line
from densevit.export.merging import merge_functions
from densevit.models.build import functions
from densevit.models.deploy import for_export, with_image_input
from densevit.runtimes.golden import record_golden
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.tasks.base import Signature, TensorSpec
from densevit.tasks.examples import fill_shape, make_examples
from densevit.tasks.table import make_task

TOLERANCE = 5e-4
"""Largest difference between graph and model."""

_TRACED_AS_NUMBERS = ("batch", "height", "width")
_EXAMPLE = {"batch": 2, "height": 3, "width": 5, "prompts": 4, "points": 3}
# a batch and sizes that are not the example's
_TESTED = (
    {"batch": 1, "height": 4, "width": 7, "prompts": 3, "points": 2},
    {"batch": 1, "height": 6, "width": 3, "prompts": 1, "points": 5},
)
_GOLDEN_SEED = 0
_USUAL_OUTPUT = 25.0  # float32 rounding grows with the values; those of trained networks stay below this


class GraphError(InputError):
    """A model could not be written as a graph, or the graph does not answer as the model does."""


def write_graph(network: nn.Module, manifest: Manifest, path: Path, *, golden: bool = False) -> None:
    """Writes a network as a graph file and compares the two before the file takes its place.

    All functions of the task's signatures go into one file, side by side; axes that a signature names by a text
    stay dynamic.

    Args:
        network: its functions take normalized float32 (B, C, H, W), or what their signatures say.
        manifest: goes into the header, with the converter's version added.
        path: the `.onnx` file; written atomically.
        golden: the header gets a golden pair of the first function; without it the header has none.

    Raises:
        GraphError: the exporter failed, or the two differ by more than `TOLERANCE` (more for huge outputs).
        ManifestError: no reader would accept the manifest.
    """
    signatures = make_task(manifest).signatures
    # all functions from one copy, so that they share its parameters
    parts = functions(for_export(network).float())
    modules = {
        function: with_image_input(parts[function], signature.inputs[0].dtype, manifest).eval()
        for function, signature in signatures.items()
    }
    manifest = replace(manifest, converter=CONVERTER, golden=None)
    if golden:
        manifest = replace(manifest, golden=_record_golden(modules, manifest, signatures))
    Manifest.from_json(manifest.to_json(), source=str(path))
    with write_atomically(path) as temporary:
        _export(modules, manifest, signatures, temporary)
        _compare(modules, manifest, signatures, temporary)


def _export(
    modules: Mapping[str, nn.Module], manifest: Manifest, signatures: Mapping[str, Signature], path: Path
) -> None:
    models = {
        function: trace_function(modules[function], manifest, signature)
        for function, signature in signatures.items()
    }
    model = merge_functions(models, signatures)
    _strip_traces(model)
    model.metadata_props[METADATA_KEY] = manifest.to_json()
    onnx_ir.save(model, str(path))


def _strip_traces(model: onnx_ir.Model) -> None:
    """Removes what the exporter notes of this machine: stack traces with absolute paths, module names, comments.

    They are nine tenths of a graph's structure, and they tell strangers where its author's files lie.
    """
    model.doc_string = None
    model.metadata_props.clear()
    graph = model.graph
    graph.doc_string = None
    graph.metadata_props.clear()
    values = [*graph.inputs, *graph.initializers.values()]
    for node in graph.all_nodes():
        node.doc_string = None
        node.metadata_props.clear()
        values += node.outputs
    for value in values:
        value.doc_string = None
        value.metadata_props.clear()


def trace_function(module: nn.Module, manifest: Manifest, signature: Signature) -> onnx_ir.Model:
    """One function as an optimized ONNX graph with the dynamic axes of its signature.

    Args:
        module: takes the inputs of the signature in its order; without BatchNorms, see `models.deploy`.
        manifest: gives the model's name and multiple.
        signature: of the function.

    Raises:
        GraphError: the exporter failed.
    """
    examples = tuple(
        torch.zeros(fill_shape(source, _EXAMPLE, multiple=manifest.multiple), dtype=getattr(torch, source.dtype))
        for source in signature.inputs
    )
    with _silence_exporter(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                verbose=False,
                input_names=[source.name for source in signature.inputs],
                output_names=[target.name for target in signature.outputs],
                dynamic_shapes=tuple(_mark_dynamic(source) for source in signature.inputs),
                # sizes are numbers here, see `densevit.models.any_size`; folding must not see them as constants
                optimize=False,
            )
            if program is None:
                raise RuntimeError("torch.onnx.export returned None")
            _remove_example_sizes(program.model.graph, signature)
            program.optimize()
        # the exporter raises whatever the network's code raises under its tracer, and dozens of types of its own
        except Exception as error:
            raise GraphError(f"{manifest.name}: the exporter failed ({first_line(error)})") from error
    return program.model


def _mark_dynamic(source: TensorSpec) -> dict[int, Any]:
    """The axes that are traced as symbols: those of prompts; an image's axes are traced as numbers."""
    return {
        index: torch.export.Dim.DYNAMIC
        for index, axis in enumerate(source.shape)
        if isinstance(axis, str) and axis not in _TRACED_AS_NUMBERS
    }


def _remove_example_sizes(graph: Any, signature: Signature) -> None:
    """Inputs and outputs get the shapes of the signature, all other values get none."""
    for node in graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    for values, specs in ((graph.inputs, signature.inputs), (graph.outputs, signature.outputs)):
        for value, spec in zip(values, specs, strict=True):
            value.shape = onnx_ir.Shape(spec.shape)


@contextmanager
def _silence_exporter() -> Iterator[None]:
    """The exporter warns about packages that it misses and this project does not use, such as torchvision."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _compare(
    modules: Mapping[str, nn.Module], manifest: Manifest, signatures: Mapping[str, Signature], path: Path
) -> None:
    runtime = OpenVINORuntime(path, precision="fp32")
    for function, signature in signatures.items():
        seen = set()
        for seed, sizes in enumerate(_TESTED):
            shapes = _fill_shapes(signature, manifest, sizes)
            # one shape where all axes are fixed
            if shapes in seen:
                continue
            seen.add(shapes)
            tensors = make_examples(signature, shapes, seed=seed)
            expected = _run(modules[function], signature, tensors)
            got = runtime.run(function, tensors)
            for name, wanted in expected.items():
                _check_equal(got[name], wanted, f"{manifest.name}: {function} {name}", shapes)


def _record_golden(
    modules: Mapping[str, nn.Module], manifest: Manifest, signatures: Mapping[str, Signature]
) -> GoldenPair:
    """The pair of the first function, which takes an image."""
    function, signature = next(iter(signatures.items()))
    shapes = _fill_shapes(signature, manifest, _TESTED[0])
    answers = _run(modules[function], signature, make_examples(signature, shapes, seed=_GOLDEN_SEED))
    tolerance = max(map(_tolerance_for, answers.values()))
    return record_golden(function, shapes, answers, seed=_GOLDEN_SEED, tolerance=tolerance)


def _fill_shapes(
    signature: Signature, manifest: Manifest, sizes: Mapping[str, int]
) -> tuple[tuple[int, ...], ...]:
    return tuple(fill_shape(source, sizes, multiple=manifest.multiple) for source in signature.inputs)


def _run(
    module: nn.Module, signature: Signature, tensors: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[np.float32]]:
    """The model's own answers by name."""
    with torch.inference_mode():
        answer = module(*(torch.from_numpy(tensor) for tensor in tensors.values()))
    outputs = [answer] if len(signature.outputs) == 1 else answer
    return {spec.name: output.numpy() for spec, output in zip(signature.outputs, outputs, strict=True)}


def _tolerance_for(expected: NDArray[Any]) -> float:
    return TOLERANCE * max(1.0, float(np.abs(expected).max()) / _USUAL_OUTPUT)


def _check_equal(
    got: NDArray[Any], expected: NDArray[Any], what: str, shapes: tuple[tuple[int, ...], ...]
) -> None:
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
    # written so that a NaN fails too
    if not difference <= _tolerance_for(expected):
        inputs = ", ".join(map(str, shapes))
        raise GraphError(f"{what}: graph and model differ by {difference:.2g} for inputs of {inputs}")
