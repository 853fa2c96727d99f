"""Several functions in one ONNX graph: their graphs side by side, connected by shared weights alone."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir

from densevit.tasks.base import Signature, graph_name


def merge_functions(models: Mapping[str, onnx_ir.Model], signatures: Mapping[str, Signature]) -> onnx_ir.Model:
    """Adds the graphs of all other functions to that of the first.

    Inputs and outputs get the names that `graph_name` gives. Equal weights are stored once.

    Args:
        models: by function, as they were exported; they are consumed.
        signatures: of the functions.

    Returns:
        The model of the first function, with all others in it.

    Raises:
        ValueError: the functions were exported with different opsets.
    """
    functions = iter(models)
    whole = models[next(functions)]
    stored = {_content(value): value for value in whole.graph.initializers.values()}
    for function in functions:
        graph = models[function].graph
        for value in list(graph.initializers.values()):
            content = _content(value)
            if content in stored:
                onnx_ir.convenience.replace_all_uses_with(value, stored[content])
                graph.initializers.pop(str(value.name))
        _rename(graph, function, signatures)
        weights = list(graph.initializers.values())
        graph.initializers.clear()
        inputs, outputs, nodes = list(graph.inputs), list(graph.outputs), list(graph)
        graph.inputs.clear()
        graph.outputs.clear()
        graph.remove(nodes)
        whole.graph.inputs.extend(inputs)
        for value in weights:
            whole.graph.register_initializer(value)
            stored[_content(value)] = value
        whole.graph.extend(nodes)
        whole.graph.outputs.extend(outputs)
        _add_definitions(whole, models[function])
    return whole


def _add_definitions(whole: onnx_ir.Model, model: onnx_ir.Model) -> None:
    whole.functions.update(model.functions)
    for domain, version in model.opset_imports.items():
        present = whole.opset_imports.get(domain, version)
        if present != version:
            raise ValueError(f"the functions were exported with opsets {present} and {version} of {domain!r}")
        whole.opset_imports[domain] = version


def _content(value: onnx_ir.Value) -> tuple[object, ...]:
    if value.const_value is None:
        raise ValueError(f"initializer {value.name!r} has no values")
    array = value.const_value.numpy()
    return (array.dtype.str, array.shape, array.tobytes())


def _rename(graph: onnx_ir.Graph, function: str, signatures: Mapping[str, Signature]) -> None:
    """Puts the function's name in front of every name, so that all are different."""
    for index, node in enumerate(graph.all_nodes()):
        node.name = f"{function}.{node.name or index}"
        for value in node.outputs:
            value.name = f"{function}.{value.name}"
    for value in list(graph.initializers.values()):
        value.name = f"{function}.{value.name}"
    for value in graph.inputs:
        value.name = graph_name(function, str(value.name), signatures)
