"""A model becomes a graph file: ONNX with dynamic batch and size, its manifest inside, compared after writing."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from densevit.files import replacing
from densevit.manifest import CONVERTER, METADATA_KEY, Manifest
from densevit.messages import first_line
from densevit.models.deploy import PictureInput, for_export
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.tasks.base import Signature

TOLERANCE = 5e-4
"""Largest difference between graph and model."""

_USUAL_LOGIT = 25.0  # float32 rounding grows with the values; those of trained networks stay below this


class GraphError(ValueError):
    """A model could not be written as a graph, or the graph does not answer as the model does."""


def write_graph(network: nn.Module, manifest: Manifest, signature: Signature, path: Path) -> None:
    """Writes the network as a graph file and runs it beside the network before it takes its place.

    Args:
        network: (B, C, H, W) normalised float32 -> (B, K, h, w).
        manifest: goes into the header, with the converter's version added.
        signature: names and axes of the function.
        path: the `.onnx` file; written atomically.

    Raises:
        GraphError: the exporter failed, or the two differ by more than `TOLERANCE` (more for huge logits).
    """
    module = PictureInput(for_export(network).float(), manifest.mean, manifest.std).eval()
    manifest = replace(manifest, converter=CONVERTER)
    with replacing(path) as temporary:
        _export(module, manifest, signature, temporary)
        _compare(module, manifest, signature, temporary)


def _export(module: nn.Module, manifest: Manifest, signature: Signature, path: Path) -> None:
    (source,), (target,) = signature.inputs, signature.outputs
    batch = torch.export.Dim("batch", min=1, max=1024)
    # sides are multiples, which the exporter is told by their factors
    sides = [manifest.multiple * torch.export.Dim(name, min=1, max=1024) for name in ("rows", "columns")]
    # a batch of 1 and a square picture would be baked in
    example = torch.zeros(2, 3 * manifest.multiple, 5 * manifest.multiple, len(manifest.mean), dtype=torch.uint8)
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=[source.name],
                output_names=[target.name],
                dynamic_shapes=({0: batch, 1: sides[0], 2: sides[1]},),
            )
        except Exception as error:
            raise GraphError(f"{manifest.name}: the exporter failed ({first_line(error)})") from error
    assert program is not None
    program.model.metadata_props[METADATA_KEY] = manifest.to_json()
    program.save(str(path), external_data=False)


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


def _compare(module: nn.Module, manifest: Manifest, signature: Signature, path: Path) -> None:
    (source,), (target,) = signature.inputs, signature.outputs
    runtime = OpenVINORuntime(path, precision="fp32")
    for rows, columns in ((4, 7), (6, 3)):
        picture = _test_picture(rows * manifest.multiple, columns * manifest.multiple, len(manifest.mean))
        with torch.inference_mode():
            expected = module(torch.from_numpy(picture)).numpy()
        got = runtime.run("forward", {source.name: picture})[target.name]
        with np.errstate(invalid="ignore"):
            difference = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
        # written so that a NaN fails too
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max()) / _USUAL_LOGIT):
            raise GraphError(f"{manifest.name}: graph and model differ by {difference:.2g} at {picture.shape}")


def _test_picture(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """(1, H, W, C): smooth structure with noise, and a black part, where the attention's sums can vanish."""
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (height // 16, width // 16, channels))
    picture = coarse.repeat(16, axis=0).repeat(16, axis=1) + generator.normal(0, 8, (height, width, channels))
    picture[: height // 4] = 0
    return picture.clip(0, 255).astype(np.uint8)[None]
