"""Graph files say nothing about the machine they were made on."""

import json
import re
from pathlib import Path

import onnx
import pytest
from google.protobuf.message import Message
from safetensors import safe_open

from densevit.weights import ASSETS
from helpers import tiny

ROOT = Path(__file__).resolve().parents[2]
# any absolute path of Linux, macOS or Windows, and where such files usually lie
PATHS = re.compile(
    rf"{re.escape(str(ROOT))}|{re.escape(str(Path.home()))}/|site-packages|dist-packages"
    r"|(?<![\w.])/(tmp|work|home|root|usr|opt|var|Users|private|mnt|workspace)/|[A-Za-z]:\\|\.py\b|Traceback"
)


def list_texts(message: Message) -> list[str]:
    """Every text in a protobuf message, but not the values of tensors."""
    texts = []
    for field, value in message.ListFields():
        if isinstance(message, onnx.TensorProto) and field.name in ("raw_data", "string_data"):
            continue
        for entry in [value] if isinstance(value, (str, bytes, int, float, Message)) else value:
            if isinstance(entry, Message):
                texts += list_texts(entry)
            elif isinstance(entry, (str, bytes)):
                texts.append(entry if isinstance(entry, str) else entry.decode("utf-8", "replace"))
    return texts


@pytest.fixture(scope="module", params=["tiny", "super-resolution", *sorted(ASSETS.glob("*.onnx"))])
def graph(request) -> onnx.ModelProto:
    match request.param:
        case "tiny":
            path = tiny.graph()
        case "super-resolution":
            path = tiny.sr_graph()
        case path:
            pass
    return onnx.load(path)


def test_no_path_and_no_stack_trace(graph):
    assert [text for text in list_texts(graph) if PATHS.search(text)] == []


def test_the_search_finds_paths():
    node = onnx.helper.make_node("Relu", ["x"], ["y"], doc_string=f"{ROOT}/src/densevit/models/build.py")
    entry = node.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.stack_trace", 'File "/tmp/a/b", line 3'
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    assert len([text for text in list_texts(model) if PATHS.search(text)]) == 2


def test_no_metadata_but_the_manifest(graph):
    assert [entry.key for entry in graph.metadata_props] == ["densevit"]
    assert json.loads(graph.metadata_props[0].value)["format"] == 2
    values = [*graph.graph.input, *graph.graph.output, *graph.graph.value_info, *graph.graph.initializer]
    for part in (graph.graph, *graph.graph.node, *values):
        assert not part.doc_string
        assert not part.metadata_props
    assert not graph.doc_string


def test_plain_operators_of_one_opset(graph):
    onnx.checker.check_model(graph)
    assert not graph.functions
    assert not graph.domain
    assert [entry.domain for entry in graph.opset_import] == [""]
    assert 18 <= graph.opset_import[0].version <= 25
    assert {node.domain for node in graph.graph.node} == {""}
    assert graph.producer_name == "pytorch"


@pytest.mark.parametrize("path", sorted(ASSETS.iterdir()), ids=lambda path: path.name)
def test_no_path_in_any_asset(path):
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            text = " ".join([*file.metadata().values(), *file.keys()])
    elif path.suffix == ".onnx":
        text = "\n".join(list_texts(onnx.load(path)))
    else:
        # a card names scripts of the repository, which are no absolute paths
        text = re.sub(r"\b(tools|benchmarks)/\w+\.py\b", "", path.read_text(encoding="utf-8"))
    assert PATHS.search(text) is None
