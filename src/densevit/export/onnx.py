"""ONNX: one file with all functions side by side, dynamic batch and size, its manifest inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir
import torch

from densevit.core.manifest import METADATA_KEY, Manifest
from densevit.core.messages import first_line
from densevit.export.merging import merge_functions
from densevit.export.program import ExportError, Function, Program, silence_exporter
from densevit.tasks.base import Signature


def write(program: Program, manifest: Manifest, path: Path) -> None:
    """Writes the graph of a program.

    Args:
        program: a traced model.
        manifest: goes into the header.
        path: the file.

    Raises:
        ExportError: the exporter failed.
    """
    models = {name: convert_function(function, manifest) for name, function in program.functions.items()}
    model = merge_functions(models, program.signatures)
    _strip_traces(model)
    model.metadata_props[METADATA_KEY] = manifest.to_json()
    onnx_ir.save(model, str(path))


def convert_function(function: Function, manifest: Manifest) -> onnx_ir.Model:
    """One function as an optimized ONNX graph with the dynamic axes of its signature.

    Raises:
        ExportError: the exporter failed.
    """
    signature = function.signature
    with silence_exporter(), torch.no_grad():
        try:
            converted = torch.onnx.export(
                function.traced,
                (),
                dynamo=True,
                verbose=False,
                input_names=[spec.name for spec in signature.inputs],
                output_names=[spec.name for spec in signature.outputs],
                # sizes are numbers here, see `densevit.models.any_size`; folding must not see them as constants
                optimize=False,
            )
            if converted is None:
                raise RuntimeError("torch.onnx.export returned None")
            _remove_example_sizes(converted.model.graph, signature)
            converted.optimize()
        # the exporter has dozens of types of errors of its own
        except Exception as error:
            raise ExportError(f"{manifest.name}: the exporter failed ({first_line(error)})") from error
    return converted.model


def _remove_example_sizes(graph: Any, signature: Signature) -> None:
    """Inputs and outputs get the shapes of the signature, all other values get none."""
    for node in graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    for values, specs in ((graph.inputs, signature.inputs), (graph.outputs, signature.outputs)):
        for value, spec in zip(values, specs, strict=True):
            value.shape = onnx_ir.Shape(spec.shape)


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
