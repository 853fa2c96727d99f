"""Golden pairs: an artefact is checked on a device without the model it was made from."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from densevit.core.errors import InputError
from densevit.core.manifest import GoldenOutput, Manifest, ManifestError
from densevit.export import write_graph
from densevit.runtimes.golden import compare_with_golden, record_golden
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.weights import ASSETS
from helpers import tiny

GRAPHS = sorted(ASSETS.glob("*.onnx"))


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_bundled_graphs_reproduce_their_golden_pairs(path):
    runtime = OpenVINORuntime(path, precision="fp32")
    golden = runtime.manifest.golden
    assert golden is not None
    assert [len(output.values) for output in golden.outputs.values()] == [64]
    comparison = compare_with_golden(runtime, runtime.manifest)
    assert comparison.function == "forward"
    assert comparison.passed
    assert comparison.difference <= comparison.tolerance == 5e-4


class Scripted:
    """A runtime that answers as it was told."""

    name, precision, device = "scripted", "fp32", "cpu"

    def __init__(self, answer: np.ndarray) -> None:
        self.answer = answer
        self.asked = []

    def run(self, function, tensors):
        self.asked.append((function, {name: tensor.shape for name, tensor in tensors.items()}))
        return {"logits": self.answer}


ANSWER = np.arange(1 * 11 * 4 * 8, dtype=np.float32).reshape(1, 11, 4, 8) / 7


def golden_manifest(**changes) -> Manifest:
    golden = record_golden("forward", ((1, 32, 64, 3),), {"logits": ANSWER}, seed=5, tolerance=1e-3)
    return tiny.manifest(golden=replace(golden, **changes))


def test_the_same_answer_passes():
    runtime = Scripted(ANSWER)
    comparison = compare_with_golden(runtime, golden_manifest())
    assert comparison.difference == 0
    assert comparison.passed
    assert runtime.asked == [("forward", {"image": (1, 32, 64, 3)})]


def test_first_and_last_value_are_compared_and_a_larger_difference_fails():
    for place in (0, -1):
        answer = ANSWER.copy()
        answer.reshape(-1)[place] += 0.25
        comparison = compare_with_golden(Scripted(answer), golden_manifest())
        assert comparison.difference == pytest.approx(0.25, rel=1e-4)
        assert not comparison.passed


@pytest.mark.parametrize("answer", [np.full_like(ANSWER, np.nan), ANSWER[:, :, :2], ANSWER.reshape(1, 11, 8, 4)])
def test_nan_and_other_shapes_fail(answer):
    assert not compare_with_golden(Scripted(answer), golden_manifest()).passed


def test_a_single_nan_among_the_compared_values_fails():
    answer = ANSWER.copy()
    answer.reshape(-1)[-1] = np.nan
    assert not compare_with_golden(Scripted(answer), golden_manifest()).passed


def test_values_come_back_to_the_last_bit():
    answer = np.random.default_rng(0).normal(size=ANSWER.shape).astype(np.float32)
    golden = record_golden("forward", ((1, 32, 64, 3),), {"logits": answer}, seed=0, tolerance=1e-3)
    text = tiny.manifest(golden=golden).to_json()
    manifest = Manifest.from_json(text, source="x")
    assert manifest.golden == golden
    assert compare_with_golden(Scripted(answer), manifest).difference == 0


def test_fewer_values_than_the_limit_are_all_kept():
    golden = record_golden("forward", ((1, 32, 64, 3),), {"logits": ANSWER[:, :3, :1, :2]}, seed=0, tolerance=1e-3)
    assert golden.outputs["logits"] == GoldenOutput((1, 3, 1, 2), tuple(map(_shortest, (0, 1, 32, 33, 64, 65))))


def _shortest(numerator: int) -> float:
    return float(str(np.float32(numerator) / np.float32(7)))


def test_a_file_without_a_golden_pair_says_so():
    with pytest.raises(InputError, match=r"tiny: this file has no golden pair; export it again"):
        compare_with_golden(Scripted(ANSWER), tiny.manifest())


@pytest.mark.parametrize(
    "changes",
    [
        {"function": "encode_image"},
        {"shapes": ()},
        {"shapes": ((1, 32, 64),)},
        {"shapes": ((1, 32, 64, 4),)},
        {"outputs": {"masks": GoldenOutput((1,), (0.0,))}},
    ],
)
def test_a_pair_of_another_model_is_refused(changes):
    with pytest.raises(ManifestError, match="its golden pair does not fit the model"):
        compare_with_golden(Scripted(ANSWER), golden_manifest(**changes))


def test_the_remedy_works_and_a_graph_of_a_checkpoint_has_no_pair(tmp_path):
    assert OpenVINORuntime(tiny.graph()).manifest.golden is None
    network = nn.Conv2d(3, 11, 8, stride=8).eval()
    write_graph(network, tiny.manifest(), tmp_path / "golden.onnx", golden=True)
    runtime = OpenVINORuntime(tmp_path / "golden.onnx", threads=1)
    assert compare_with_golden(runtime, runtime.manifest).passed
    # written again without a pair, what the header brought is gone
    write_graph(network, runtime.manifest, tmp_path / "plain.onnx")
    assert OpenVINORuntime(tmp_path / "plain.onnx").manifest.golden is None
