"""Several functions in one ONNX graph: their graphs side by side, with nothing between them but shared weights."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir

from densevit.tasks.base import Signature, graph_name


def merge_functions(models: Mapping[str, onnx_ir.Model], signatures: Mapping[str, Signature]) -> onnx_ir.Model:
    """One model of the functions' models; the first takes the others in.

    Inputs and outputs are called as `graph_name` says. Weights that are equal are stored once.

    Args:
        models: by function, as they were exported; they are used up.
        signatures: of the functions.
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
        for domain, version in models[function].opset_imports.items():
            assert whole.opset_imports.setdefault(domain, version) == version
    return whole


def _content(value: onnx_ir.Value) -> tuple[object, ...]:
    assert value.const_value is not None
    array = value.const_value.numpy()
    return (array.dtype.str, array.shape, array.tobytes())


def _rename(graph: onnx_ir.Graph, function: str, signatures: Mapping[str, Signature]) -> None:
    """Every name gets the function's in front, so that none is there twice."""
    for index, node in enumerate(graph.all_nodes()):
        node.name = f"{function}.{node.name or index}"
        for value in node.outputs:
            value.name = f"{function}.{value.name}"
    for value in list(graph.initializers.values()):
        value.name = f"{function}.{value.name}"
    for value in graph.inputs:
        value.name = graph_name(function, str(value.name), signatures)
