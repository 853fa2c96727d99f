"""Several functions in one graph: shared weights once, every operator set declared, also under `python -O`."""

import subprocess
import sys
import textwrap

import numpy as np
import onnx
import onnx_ir
import pytest

from densevit.export.merging import merge_functions
from densevit.tasks.base import Signature, TensorSpec
from helpers import tiny

SPEC = TensorSpec("x", "float32", (2,))
SIGNATURES = {name: Signature((SPEC,), (TensorSpec("y", "float32", (2,)),)) for name in ("first", "second")}


def function(weight: list[float], *, domain: str = "", version: int = 18) -> onnx_ir.Model:
    """y = x + weight; `domain` declares one more operator set."""
    shape = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [shape("x", onnx.TensorProto.FLOAT, [2])],
        [shape("y", onnx.TensorProto.FLOAT, [2])],
        [onnx.numpy_helper.from_array(np.array(weight, np.float32), "w")],
    )
    opsets = {"": 18, domain: version}
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid(*item) for item in opsets.items()]
    )
    return onnx_ir.from_proto(model)


def test_equal_weights_are_stored_once_and_others_are_not():
    merged = merge_functions({"first": function([1, 2]), "second": function([1, 2])}, SIGNATURES)
    assert len(merged.graph.initializers) == 1
    merged = merge_functions({"first": function([0.0, 2]), "second": function([-0.0, 2])}, SIGNATURES)
    assert len(merged.graph.initializers) == 2
    onnx.checker.check_model(onnx_ir.to_proto(merged))
    assert [value.name for value in merged.graph.inputs] == ["x", "second.x"]
    assert [value.name for value in merged.graph.outputs] == ["y", "second.y"]


def test_operator_sets_of_later_functions_are_declared():
    merged = merge_functions(
        {"first": function([1, 2]), "second": function([3, 4], domain="com.example", version=3)}, SIGNATURES
    )
    assert merged.opset_imports == {"": 18, "com.example": 3}


def test_functions_of_different_operator_sets_are_not_merged():
    with pytest.raises(ValueError, match="opsets 18 and 17 of ''"):
        merge_functions({"first": function([1, 2]), "second": function([1, 2], version=17)}, SIGNATURES)


SCRIPT = """
    import sys
    sys.path.insert(0, "tests")
    assert False, "python -O does not run this"
    from export.test_merging import SIGNATURES, function
    from densevit.export.merging import merge_functions

    second = function([3, 4], domain="com.example", version=3)
    merged = merge_functions({"first": function([1, 2]), "second": second}, SIGNATURES)
    print(dict(merged.opset_imports))
    try:
        merge_functions({"first": function([1, 2]), "second": function([1, 2], version=17)}, SIGNATURES)
    except ValueError as error:
        print(error)
"""


@pytest.mark.slow
def test_the_same_without_asserts():
    """An assert declared the operator sets before, so that `python -O` wrote wrong graphs."""
    command = [sys.executable, "-O", "-c", textwrap.dedent(SCRIPT)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=tiny.environment())
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [
        "{'': 18, 'com.example': 3}",
        "the functions were exported with opsets 18 and 17 of ''",
    ]
