"""A model becomes a graph file: ONNX with dynamic batch and size, its manifest inside, compared after writing."""

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
from densevit.core.manifest import CONVERTER, METADATA_KEY, Manifest
from densevit.core.messages import first_line
from densevit.export.merging import merge_functions
from densevit.models.build import functions
from densevit.models.deploy import for_export, with_image_input
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.tasks.base import Signature, TensorSpec
from densevit.tasks.table import make_task

TOLERANCE = 5e-4
"""Largest difference between graph and model."""

_SIDES = ("height", "width")
_TRACED_AS_NUMBERS = ("batch", *_SIDES)
_EXAMPLE = {"batch": 2, "height": 3, "width": 5, "prompts": 4, "points": 3}
# a batch and sizes that are not the example's
_TESTED = (
    {"batch": 1, "height": 4, "width": 7, "prompts": 3, "points": 2},
    {"batch": 1, "height": 6, "width": 3, "prompts": 1, "points": 5},
)
_USUAL_OUTPUT = 25.0  # float32 rounding grows with the values; those of trained networks stay below this


class GraphError(InputError):
    """A model could not be written as a graph, or the graph does not answer as the model does."""


def write_graph(network: nn.Module, manifest: Manifest, path: Path) -> None:
    """Writes a network as a graph file and runs it beside the network before it takes its place.

    All functions of the task's signatures go into one file, side by side; axes that a signature names by a text
    stay dynamic.

    Args:
        network: its functions take normalized float32 (B, C, H, W), or what their signatures say.
        manifest: goes into the header, with the converter's version added.
        path: the `.onnx` file; written atomically.

    Raises:
        GraphError: the exporter failed, or the two differ by more than `TOLERANCE` (more for huge outputs).
    """
    signatures = make_task(manifest).signatures
    parts = functions(network)
    modules = {
        function: with_image_input(for_export(parts[function]).float(), signature.inputs[0].dtype, manifest).eval()
        for function, signature in signatures.items()
    }
    manifest = replace(manifest, converter=CONVERTER)
    with write_atomically(path) as temporary:
        _export(modules, manifest, signatures, temporary)
        _compare(modules, manifest, signatures, temporary)


def _export(
    modules: Mapping[str, nn.Module], manifest: Manifest, signatures: Mapping[str, Signature], path: Path
) -> None:
    models = {
        function: _exported(modules[function], manifest, signature) for function, signature in signatures.items()
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


def _exported(module: nn.Module, manifest: Manifest, signature: Signature) -> onnx_ir.Model:
    examples = tuple(
        torch.zeros(_shape(source, manifest, _EXAMPLE), dtype=getattr(torch, source.dtype))
        for source in signature.inputs
    )
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                verbose=False,
                input_names=[source.name for source in signature.inputs],
                output_names=[target.name for target in signature.outputs],
                dynamic_shapes=tuple(_symbolic(source) for source in signature.inputs),
                # sizes are numbers here, see `densevit.models.any_size`; folding must not see them as constants
                optimize=False,
            )
            assert program is not None
            _free_sizes(program.model.graph, signature)
            program.optimize()
        except Exception as error:
            raise GraphError(f"{manifest.name}: the exporter failed ({first_line(error)})") from error
    return program.model


def _symbolic(source: TensorSpec) -> dict[int, Any]:
    """The axes that are traced as symbols: those that images do not have."""
    return {
        index: torch.export.Dim.DYNAMIC
        for index, axis in enumerate(source.shape)
        if isinstance(axis, str) and axis not in _TRACED_AS_NUMBERS
    }


def _free_sizes(graph: Any, signature: Signature) -> None:
    """Takes the example's sizes out of a graph: inputs and outputs have those of the signature, the rest none."""
    for node in graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    for values, specs in ((graph.inputs, signature.inputs), (graph.outputs, signature.outputs)):
        for value, spec in zip(values, specs, strict=True):
            value.shape = onnx_ir.Shape(spec.shape)


def _shape(source: TensorSpec, manifest: Manifest, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The source's shape with numbers for its dynamic axes; sides count in multiples of what the model takes."""
    return tuple(
        axis if isinstance(axis, int) else sizes[axis] * (manifest.multiple if axis in _SIDES else 1)
        for axis in source.shape
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of what it lacks and this project does not use, torchvision first of all."""
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
            shapes = tuple(_shape(source, manifest, sizes) for source in signature.inputs)
            # one shape where all axes are fixed
            if shapes in seen:
                continue
            seen.add(shapes)
            tensors = {
                source.name: _test_tensor(source, shape, seed)
                for source, shape in zip(signature.inputs, shapes, strict=True)
            }
            with torch.inference_mode():
                outputs = modules[function](*(torch.from_numpy(tensor) for tensor in tensors.values()))
            expected = [outputs] if len(signature.outputs) == 1 else outputs
            got = runtime.run(function, tensors)
            for target, wanted in zip(signature.outputs, expected, strict=True):
                _check_equal(
                    got[target.name], wanted.numpy(), f"{manifest.name}: {function} {target.name}", shapes
                )


def _check_equal(
    got: NDArray[Any], expected: NDArray[Any], what: str, shapes: tuple[tuple[int, ...], ...]
) -> None:
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
    # written so that a NaN fails too
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max()) / _USUAL_OUTPUT):
        said = ", ".join(map(str, shapes))
        raise GraphError(f"{what}: graph and model differ by {difference:.2g} at {said}")


def _test_tensor(source: TensorSpec, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    """An image for images, as they are (B, H, W, C) or normalized (B, C, H, W); prompts; noise for others."""
    generator = np.random.default_rng(seed)
    if source.dtype == "uint8":
        _, height, width, channels = shape
        return _test_image(height, width, channels, seed)
    match source.name:
        case "image" | "image":
            _, channels, height, width = shape
            image = _test_image(height, width, channels, seed).transpose(0, 3, 1, 2)
            return np.ascontiguousarray(image.astype(np.float32) / 64 - 2)
        case "points":
            return generator.uniform(0, 1024, shape).astype(np.float32)
        case "labels":
            return generator.integers(-1, 4, shape).astype(np.float32)
        case "least_score":
            # half of the scores of a model with random weights are below
            return np.zeros(shape, np.float32)
        case _:
            return generator.normal(size=shape).astype(np.float32)


def _test_image(height: int, width: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """(1, H, W, C): smooth structure with noise, and a black part, where the attention's sums can vanish."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (height // 16, width // 16, channels))
    image = coarse.repeat(16, axis=0).repeat(16, axis=1) + generator.normal(0, 8, (height, width, channels))
    image[: height // 4] = 0
    return image.clip(0, 255).astype(np.uint8)[None]
