"""A network traced once: every function as a program that exporters turn into files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import ExportedProgram

from densevit.core.errors import InputError
from densevit.core.manifest import CONVERTER, Manifest
from densevit.core.messages import first_line
from densevit.models.any_size import use_onnx_operators
from densevit.models.build import functions
from densevit.models.deploy import for_export, with_image_input
from densevit.runtimes.base import check_inputs
from densevit.tasks.base import Signature, TensorSpec
from densevit.tasks.examples import IMAGE_AXES, TRACED, choose_shapes
from densevit.tasks.table import make_task


class ExportError(InputError):
    """A model could not be written as a file, or the file does not answer as the model does."""


@dataclass(frozen=True)
class Function:
    """A function of a model.

    Attributes:
        signature: names, types and axes of its tensors.
        module: what was traced; takes the inputs of the signature in its order.
        traced: the program.
    """

    signature: Signature
    module: nn.Module
    traced: ExportedProgram


@dataclass(frozen=True)
class Program:
    """A model ready to be written: normalization inside, BatchNorm folded, fp32.

    Attributes:
        manifest: of the model, with the converter's version and without a golden pair.
        functions: by name, the one that takes the image first.
    """

    manifest: Manifest
    functions: Mapping[str, Function]

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """Of the functions."""
        return {name: function.signature for name, function in self.functions.items()}

    def run(self, function: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """The model's own answers, which those of a file are compared with; see `Runtime.run`."""
        check_inputs(self.signatures, function, tensors)
        signature = self.functions[function].signature
        with torch.inference_mode():
            answer = self.functions[function].module(
                *(torch.from_numpy(tensors[spec.name]) for spec in signature.inputs)
            )
        # one output is a tensor, several are a tuple in the order of the signature
        outputs = [answer] if len(signature.outputs) == 1 else answer
        return {spec.name: output.numpy() for spec, output in zip(signature.outputs, outputs, strict=True)}


def trace(network: nn.Module, manifest: Manifest) -> Program:
    """Traces all functions of the task's signatures.

    Args:
        network: its functions take normalized float32 (B, C, H, W), or what their signatures say; is copied.
        manifest: of the model.

    Raises:
        ExportError: PyTorch cannot trace it.
        ManifestError: no reader would accept the manifest.
    """
    manifest = replace(manifest, converter=CONVERTER, golden=None)
    Manifest.from_json(manifest.to_json(), source=manifest.name)
    signatures = make_task(manifest).signatures
    # all functions from one copy, so that they share its parameters
    parts = functions(for_export(network).float())
    traced = {}
    for name, signature in signatures.items():
        module = with_image_input(parts[name], signature.inputs[0].dtype, manifest).eval()
        traced[name] = Function(signature, module, trace_function(module, manifest, signature))
    return Program(manifest, traced)


def trace_function(module: nn.Module, manifest: Manifest, signature: Signature) -> ExportedProgram:
    """One function with the dynamic axes of its signature.

    The axes of images are traced as numbers, see `densevit.models.any_size`; exporters must not take them for
    constants.

    Raises:
        ExportError: PyTorch cannot trace it.
    """
    shapes = choose_shapes(signature, TRACED, multiple=manifest.multiple)
    examples = tuple(
        torch.zeros(shape, dtype=getattr(torch, spec.dtype))
        for spec, shape in zip(signature.inputs, shapes, strict=True)
    )
    dynamic = tuple(_mark_dynamic(spec) for spec in signature.inputs)
    with silence_exporter(), torch.no_grad(), use_onnx_operators():
        try:
            return torch.export.export(module, examples, dynamic_shapes=dynamic, strict=False)
        # whatever the network's code raises under the tracer, and dozens of types of its own
        except Exception as error:
            raise ExportError(f"{manifest.name}: the exporter failed ({first_line(error)})") from error


def _mark_dynamic(spec: TensorSpec) -> dict[int, Any]:
    """The axes that are traced as symbols: those of prompts; an image's axes are traced as numbers."""
    return {
        index: torch.export.Dim.DYNAMIC
        for index, axis in enumerate(spec.shape)
        if isinstance(axis, str) and axis not in IMAGE_AXES
    }


@contextmanager
def silence_exporter() -> Iterator[None]:
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
