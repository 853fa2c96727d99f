"""A model becomes a graph file: ONNX with dynamic batch and size, its manifest inside, compared after writing."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray
from torch import nn

from densevit.files import replacing
from densevit.manifest import CONVERTER, METADATA_KEY, Manifest
from densevit.messages import first_line
from densevit.models.build import functions
from densevit.models.deploy import for_export, taking
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.tasks.base import Signature, TensorSpec
from densevit.tasks.table import task_for

TOLERANCE = 5e-4
"""Largest difference between graph and model."""

_USUAL_OUTPUT = 25.0  # float32 rounding grows with the values; those of trained networks stay below this


class GraphError(ValueError):
    """A model could not be written as a graph, or the graph does not answer as the model does."""


def write_graph(network: nn.Module, manifest: Manifest, path: Path) -> None:
    """Writes a network as a graph file and runs it beside the network before it takes its place.

    The graph is the function that takes the picture, the first of the task's signatures; axes that the
    signature names by a text stay dynamic.

    Args:
        network: its functions take normalised float32 (B, C, H, W).
        manifest: goes into the header, with the converter's version added.
        path: the `.onnx` file; written atomically.

    Raises:
        GraphError: the exporter failed, or the two differ by more than `TOLERANCE` (more for huge outputs).
    """
    function, signature = next(iter(task_for(manifest).signatures.items()))
    part = for_export(functions(network)[function]).float()
    module = taking(part, signature.inputs[0].dtype, manifest).eval()
    manifest = replace(manifest, converter=CONVERTER)
    with replacing(path) as temporary:
        _export(module, manifest, signature, temporary)
        _compare(module, manifest, function, signature, temporary)


def _export(module: nn.Module, manifest: Manifest, signature: Signature, path: Path) -> None:
    (source,), (target,) = signature.inputs, signature.outputs
    example = torch.zeros(_shape(source, manifest, batch=2, sides=(3, 5)), dtype=getattr(torch, source.dtype))
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=[source.name],
                output_names=[target.name],
                # sizes are numbers here, see `densevit.models.any_size`; folding must not see them as constants
                optimize=False,
            )
            assert program is not None
            _free_sizes(program.model.graph, signature)
            program.optimize()
        except Exception as error:
            raise GraphError(f"{manifest.name}: the exporter failed ({first_line(error)})") from error
    program.model.metadata_props[METADATA_KEY] = manifest.to_json()
    program.save(str(path), external_data=False)


def _free_sizes(graph: Any, signature: Signature) -> None:
    """Takes the example's sizes out of a graph: inputs and outputs have those of the signature, the rest none."""
    for node in graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    for values, specs in ((graph.inputs, signature.inputs), (graph.outputs, signature.outputs)):
        for value, spec in zip(values, specs, strict=True):
            value.shape = onnx_ir.Shape(spec.shape)


def _shape(source: TensorSpec, manifest: Manifest, *, batch: int, sides: tuple[int, int]) -> tuple[int, ...]:
    """The source's shape with that batch, and sides of so many multiples where they are dynamic."""
    dynamic = iter(side * manifest.multiple for side in sides)
    return tuple(
        batch if axis == "batch" else next(dynamic) if isinstance(axis, str) else axis for axis in source.shape
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


def _compare(module: nn.Module, manifest: Manifest, function: str, signature: Signature, path: Path) -> None:
    (source,), (target,) = signature.inputs, signature.outputs
    runtime = OpenVINORuntime(path, precision="fp32")
    # a batch and sizes that are not the example's; one shape where the sides are fixed
    shapes = dict.fromkeys(_shape(source, manifest, batch=1, sides=sides) for sides in ((4, 7), (6, 3)))
    for seed, shape in enumerate(shapes):
        tensor = _test_tensor(source, shape, seed)
        with torch.inference_mode():
            expected = module(torch.from_numpy(tensor)).numpy()
        got = runtime.run(function, {source.name: tensor})[target.name]
        with np.errstate(invalid="ignore"):
            difference = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
        # written so that a NaN fails too
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max()) / _USUAL_OUTPUT):
            raise GraphError(f"{manifest.name}: graph and model differ by {difference:.2g} at {tensor.shape}")


def _test_tensor(source: TensorSpec, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    """A picture for pictures, as they are (B, H, W, C) or normalised (B, C, H, W)."""
    if source.dtype == "uint8":
        _, height, width, channels = shape
        return _test_picture(height, width, channels, seed)
    _, channels, height, width = shape
    picture = _test_picture(height, width, channels, seed).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(picture.astype(np.float32) / 64 - 2)


def _test_picture(height: int, width: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """(1, H, W, C): smooth structure with noise, and a black part, where the attention's sums can vanish."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (height // 16, width // 16, channels))
    picture = coarse.repeat(16, axis=0).repeat(16, axis=1) + generator.normal(0, 8, (height, width, channels))
    picture[: height // 4] = 0
    return picture.clip(0, 255).astype(np.uint8)[None]
