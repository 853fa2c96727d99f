"""What every runtime promises, over all of them and the precisions that they have here."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from densevit.core.errors import UnavailableError, UsageError
from densevit.runtimes import eager, openvino
from densevit.runtimes.eager import EagerRuntime, choose_device
from densevit.runtimes.openvino import GraphFileError, OpenVINORuntime, supports
from densevit.runtimes.shapes import RUNS_BEFORE_EVICTION, STATIC_SHAPES
from helpers import tiny

CASES = [("eager", "fp32"), ("eager", "bf16"), ("openvino", "fp32"), ("openvino", "bf16")]
BF16_TOLERANCE = {"eager": 0.06, "openvino": 0.08}
"""Of the logits' norm. Measured at these sizes: PyTorch 0.028-0.044 with its attention in fp32, 0.031-0.057 with
every layer in bf16, as in OpenVINO."""
# more than the static shapes that are kept, and some twice
SIZES = [(64, 96), (32, 32), (96, 64), (64, 96), (32, 160), (128, 32), (96, 96), (32, 32), (64, 96), (160, 32)]


def make(name: str, precision: str):
    if name == "eager":
        return EagerRuntime(*tiny.stored(), device="cpu", precision=precision)
    if not supports(precision):
        pytest.skip(f"OpenVINO does not compute in {precision} on this CPU")
    return OpenVINORuntime(tiny.graph(), precision=precision, threads=1)


@pytest.fixture(scope="module")
def reference():
    """(B, H, W, 3) uint8 -> logits of the network as it was loaded, in float64."""
    network, manifest = tiny.stored()
    network = copy.deepcopy(network).double()

    def run(images: np.ndarray) -> np.ndarray:
        normalized = (torch.from_numpy(images).double() / 255 - torch.tensor(manifest.mean)) / torch.tensor(
            manifest.std
        )
        with torch.inference_mode():
            return network(normalized.permute(0, 3, 1, 2)).numpy()

    return run


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest, relative to the largest logit where that is above one."""
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_the_same_logits_at_every_size_in_any_order(name, precision, reference, monkeypatch):
    # PyTorch computes in bf16 on any CPU, only slowly on most
    monkeypatch.setattr(eager, "supports", lambda device, precision: precision in ("fp32", "bf16"))
    runtime = make(name, precision)
    assert (runtime.name, runtime.precision, runtime.device) == (name, precision, "cpu")
    for index, size in enumerate(SIZES if precision == "fp32" else SIZES[:3]):
        image = tiny.image(*size, seed=index)[None]
        outputs = runtime.run("forward", {"image": image})
        assert outputs.keys() == {"logits"}
        logits = outputs["logits"]
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()
        expected = reference(image)
        if precision == "fp32":
            assert difference(logits, expected) <= 5e-4
        else:
            assert np.linalg.norm(logits - expected) <= BF16_TOLERANCE[name] * np.linalg.norm(expected)


@pytest.mark.parametrize("name", ["eager", "openvino"])
def test_batches(name, reference):
    runtime = make(name, "fp32")
    images = np.stack([tiny.image(64, 96, seed=seed) for seed in range(3)])
    logits = runtime.run("forward", {"image": images})["logits"]
    assert logits.shape == (3, 11, 8, 12)
    assert difference(logits, reference(images)) <= 5e-4


@pytest.mark.parametrize("name", ["eager", "openvino"])
def test_outputs_belong_to_the_caller_and_inputs_stay(name):
    runtime = make(name, "fp32")
    first, second = (tiny.image(64, 96, seed=seed)[None] for seed in (0, 1))
    kept_input = first.copy()
    logits = runtime.run("forward", {"image": first})["logits"]
    kept = logits.copy()
    runtime.run("forward", {"image": second})
    assert np.array_equal(logits, kept)
    assert np.array_equal(first, kept_input)
    logits[:] = 7
    again = runtime.run("forward", {"image": first})["logits"]
    assert difference(again, kept) < 1e-5


@pytest.mark.parametrize("name", ["eager", "openvino"])
def test_inputs_of_any_layout(name):
    runtime = make(name, "fp32")
    image = tiny.image(64, 96)[None]
    expected = runtime.run("forward", {"image": image})["logits"]
    read_only = image.copy()
    read_only.setflags(write=False)
    spread = np.zeros((1, 64, 192, 3), np.uint8)[:, :, ::2]
    spread[:] = image
    backwards = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    for other in (read_only, spread, backwards, np.asfortranarray(image)):
        assert difference(runtime.run("forward", {"image": other})["logits"], expected) < 1e-5


@pytest.mark.parametrize("name", ["eager", "openvino"])
@pytest.mark.parametrize(
    ("function", "tensors", "message"),
    [
        ("encode_image", {"image": np.zeros((1, 32, 32, 3), np.uint8)}, "'encode_image'"),
        ("forward", {"pixels": np.zeros((1, 32, 32, 3), np.uint8)}, r"'image' is missing.*pixels"),
        ("forward", {}, "'image' is missing"),
    ],
)
def test_wrong_functions_and_missing_inputs_are_refused_by_name(name, function, tensors, message):
    runtime = make(name, "fp32")
    with pytest.raises(ValueError, match=message):
        runtime.run(function, tensors)


@pytest.mark.parametrize("name", ["eager", "openvino"])
def test_threads_share_a_model(name):
    runtime = make(name, "fp32")
    images = [tiny.image(*SIZES[index % 3], seed=index)[None] for index in range(6)]
    expected = [runtime.run("forward", {"image": image})["logits"] for image in images]
    together = threading.Barrier(4)

    def work(thread: int) -> float:
        together.wait()
        order = [(index + thread) % 6 for index in range(6)] * 3
        return max(difference(runtime.run("forward", {"image": images[i]})["logits"], expected[i]) for i in order)

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(4))) < 1e-5


# --- precision


@pytest.mark.parametrize(
    ("verified", "native", "chosen"),
    [
        (("fp32", "bf16"), {"fp32", "bf16"}, "bf16"),
        (("fp32", "bf16"), {"fp32"}, "fp32"),
        (("fp32",), {"fp32", "bf16"}, "fp32"),
        ((), {"fp32", "bf16"}, "fp32"),
        (("fp32", "fp16"), {"fp32", "fp16"}, "fp32"),
    ],
)
def test_auto_is_bf16_only_where_verified_and_native(tmp_path, monkeypatch, verified, native, chosen):
    monkeypatch.setattr(openvino, "supports", lambda precision: precision in native)
    header = tiny.manifest(verified_precisions={name: {} for name in verified}).to_json()
    path = tiny.graph_with(tmp_path / "g.onnx", header)
    assert OpenVINORuntime(path, precision="auto").precision == chosen
    # the default is that of everything which reports a score
    assert OpenVINORuntime(path).precision == "fp32"


@pytest.mark.parametrize(
    ("verified", "native", "chosen"),
    [(("bf16",), {"fp32", "bf16"}, "bf16"), (("bf16",), {"fp32"}, "fp32"), (("fp32",), {"fp32", "bf16"}, "fp32")],
)
def test_auto_is_the_same_for_eager(monkeypatch, verified, native, chosen):
    monkeypatch.setattr(eager, "supports", lambda device, precision: precision in native)
    network, _ = tiny.stored()
    manifest = tiny.manifest(verified_precisions={name: {} for name in verified})
    assert EagerRuntime(network, manifest, device="cpu", precision="auto").precision == chosen
    assert EagerRuntime(network, manifest, device="cpu").precision == "fp32"


def test_a_precision_that_the_cpu_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(openvino, "supports", lambda precision: precision == "fp32")
    with pytest.raises(UnavailableError, match=r"bf16.*use precision fp32"):
        OpenVINORuntime(tiny.graph(), precision="bf16")
    monkeypatch.setattr(eager, "supports", lambda device, precision: precision == "fp32")
    with pytest.raises(UnavailableError, match=r"bf16.*use precision fp32"):
        EagerRuntime(*tiny.stored(), device="cpu", precision="bf16")
    assert OpenVINORuntime(tiny.graph(), precision="fp32").precision == "fp32"


@pytest.mark.parametrize(
    ("native", "usable"),
    [({"fp32", "bf16", "fp16"}, "bf16 or fp32"), ({"fp32", "fp16"}, "fp32"), ({"fp32"}, "fp32")],
)
def test_fp16_is_refused_on_every_cpu(monkeypatch, native, usable):
    monkeypatch.setattr(openvino, "supports", lambda precision: precision in native)
    with pytest.raises(UnavailableError, match=rf"fp16 on a CPU gives NaN.*; use precision {usable}$"):
        OpenVINORuntime(tiny.graph(), precision="fp16")
    for precision in usable.split(" or "):
        assert OpenVINORuntime(tiny.graph(), precision=precision).precision == precision


def test_a_cpu_that_lists_fp16_is_refused_too(monkeypatch):
    def get_property(_self, _device, name):
        assert name == "OPTIMIZATION_CAPABILITIES"
        return ["FP32", "FP16", "BF16", "INT8"]

    supports.cache_clear()
    monkeypatch.setattr(openvino.ov.Core, "get_property", get_property)
    try:
        assert supports("fp16")
        with pytest.raises(UnavailableError, match="use precision bf16 or fp32"):
            OpenVINORuntime(tiny.graph(), precision="fp16")
    finally:
        supports.cache_clear()


def test_unknown_precisions_are_refused():
    with pytest.raises(UsageError, match=r"auto or one of fp32, bf16, fp16, got 'int4'"):
        OpenVINORuntime(tiny.graph(), precision="int4")


def test_every_cpu_has_fp32():
    assert supports("fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_hint_is_always_given(monkeypatch, precision):
    if not supports(precision):
        pytest.skip(f"OpenVINO does not compute in {precision} on this CPU")
    # made here, because making it compiles too
    graph = tiny.graph()
    seen = []
    core = openvino.ov.Core
    original = core.compile_model

    def compile_model(self, *arguments, **options):
        compiled = original(self, *arguments, **options)
        seen.append(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        return compiled

    monkeypatch.setattr(core, "compile_model", compile_model)
    runtime = OpenVINORuntime(graph, precision=precision, threads=1)
    for size in [(32, 32), (32, 64), (32, 64)]:
        runtime.run("forward", {"image": tiny.image(*size)[None]})
    # static, dynamic, static
    assert seen == [{"fp32": "f32", "bf16": "bf16"}[precision]] * 3


@pytest.fixture
def compiled(monkeypatch):
    """The widths that OpenVINO compiled a graph for since the last look, 0 for any width."""
    seen = []
    original = openvino.ov.Core.compile_model

    def compile_model(self, model, *arguments):
        width = model.inputs[0].partial_shape[2]
        seen.append(0 if width.is_dynamic else width.get_length())
        return original(self, model, *arguments)

    monkeypatch.setattr(openvino.ov.Core, "compile_model", compile_model)

    def take() -> list[int]:
        taken = seen.copy()
        seen.clear()
        return taken

    return take


def run_widths(runtime, *widths: int) -> None:
    for width in widths:
        runtime.run("forward", {"image": tiny.image(32, width)[None]})


WIDTHS = [32 * n for n in range(1, 9)]


def test_the_first_shape_is_compiled_at_once_and_a_later_one_the_second_time(compiled):
    runtime = OpenVINORuntime(tiny.graph(), threads=1)
    run_widths(runtime, *WIDTHS)
    assert compiled() == [WIDTHS[0], 0]
    run_widths(runtime, *[WIDTHS[3]] * 3)
    assert compiled() == [WIDTHS[3]]


def test_many_sizes_in_turn_do_not_compile_again_and_again(compiled):
    runtime = OpenVINORuntime(tiny.graph(), threads=1)
    for _ in range(2):
        run_widths(runtime, *WIDTHS)
    assert compiled() == [WIDTHS[0], 0, *WIDTHS[1:STATIC_SHAPES]]
    for _ in range(2 * RUNS_BEFORE_EVICTION):
        run_widths(runtime, *WIDTHS)
    assert compiled() == []


def test_the_least_recently_used_shape_is_evicted_first(compiled):
    runtime = OpenVINORuntime(tiny.graph(), threads=1)
    static, new = WIDTHS[:STATIC_SHAPES], WIDTHS[STATIC_SHAPES:]
    run_widths(runtime, *[width for width in static for _ in range(2)], static[0])
    compiled()
    run_widths(runtime, *[new[0]] * (RUNS_BEFORE_EVICTION - 1))
    assert compiled() == []
    run_widths(runtime, new[0], new[0])
    assert compiled() == [new[0]]
    # the second was used before the first
    run_widths(runtime, static[0], *static[2:], new[0])
    assert compiled() == []
    run_widths(runtime, *[static[1]] * RUNS_BEFORE_EVICTION)
    assert compiled() == [static[1]]
    run_widths(runtime, *static[2:], new[0], static[1])
    assert compiled() == []


def test_other_sizes_take_over_when_the_first_ones_are_gone(compiled, reference):
    runtime = OpenVINORuntime(tiny.graph(), threads=1)
    kept = runtime.run("forward", {"image": tiny.image(32, WIDTHS[0])[None]})["logits"]
    copied = kept.copy()
    run_widths(runtime, *[width for width in WIDTHS[:4] for _ in range(2)])
    run_widths(runtime, *WIDTHS[4:] * (RUNS_BEFORE_EVICTION + 1))
    compiled()
    run_widths(runtime, *WIDTHS[4:])
    assert compiled() == []
    # answers of an evicted request belong to the caller, and its shape still gets the right ones
    assert np.array_equal(kept, copied)
    image = tiny.image(32, WIDTHS[0])[None]
    assert difference(runtime.run("forward", {"image": image})["logits"], reference(image)) <= 5e-4


# --- devices


@pytest.mark.parametrize("name", ["tpu9", "cuda:x", "", "cpu cpu"])
def test_unknown_devices_are_refused(name):
    with pytest.raises(UsageError, match="device"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda:99", "xla", "meta"])
def test_devices_that_are_not_here_are_refused(name):
    with pytest.raises(UnavailableError, match=f"'{name}' is not available here; use auto or cpu"):
        choose_device(name)


def test_the_cpu_is_always_there():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda", "mps")


def test_the_network_of_an_eager_runtime_is_a_copy():
    network = tiny.network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    runtime = EagerRuntime(network.train(), tiny.manifest(), device="cpu")
    image = {"image": tiny.image(64, 64)[None]}
    expected = runtime.run("forward", image)["logits"]
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert np.array_equal(runtime.run("forward", image)["logits"], expected)


# --- graph files that are none


def damaged(path, kind: str):
    content = tiny.graph().read_bytes()
    match kind:
        case "truncated":
            path.write_bytes(content[: len(content) // 2])
        case "a few bytes short":
            path.write_bytes(content[:-40])
        case "random":
            path.write_bytes(np.random.default_rng(0).bytes(5000))
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("not a graph\nat all\n")
        case "folder":
            path.mkdir()
        case "missing":
            pass
    return path


@pytest.mark.parametrize(
    "kind", ["truncated", "a few bytes short", "random", "empty", "text", "folder", "missing"]
)
def test_damaged_graph_files_are_named(tmp_path, kind):
    path = damaged(tmp_path / "broken.onnx", kind)
    with pytest.raises(ValueError, match=r"broken\.onnx: ") as caught:
        OpenVINORuntime(path)
    assert type(caught.value).__name__ in ("GraphFileError", "ManifestError")
    assert "\n" not in str(caught.value)


def test_a_graph_of_absurd_size_is_not_read(monkeypatch):
    monkeypatch.setattr(openvino, "MAX_GRAPH_BYTES", 1000)
    with pytest.raises(GraphFileError, match=r"tiny\.onnx: larger than"):
        OpenVINORuntime(tiny.graph())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no densevit header"),
        ("", "header"),
        ("{", "not JSON"),
        ("[]", "format number"),
        ('{"format": 3}', "format 3, newer than 2; update densevit"),
        ('{"format": 2}', "incomplete"),
        ('{"format": 1}', "incomplete"),
        ('{"format": 1, "name": "x", "task": "segmentation", "architecture": "seg-b0", "odd": 1}', "'odd'"),
    ],
)
def test_graphs_without_a_proper_manifest_are_named(tmp_path, text, message):
    path = tiny.graph_with(tmp_path / "foreign.onnx", text)
    with pytest.raises(ValueError, match=rf"foreign\.onnx: .*{message}") as caught:
        OpenVINORuntime(path)
    assert type(caught.value).__name__ in ("GraphFileError", "ManifestError")
