"""A network becomes a graph file: the same answers at every batch and size, the manifest inside, or no file."""

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

import densevit
from densevit.core.manifest import CONVERTER, IMAGENET_MEAN, IMAGENET_STD
from densevit.export import TOLERANCES, ExportError, write_graph
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.tasks.table import make_task
from helpers import tiny

SIGNATURE = make_task(tiny.manifest()).signatures["forward"]
TWO_CLASSES = {"class_names": ("a", "b"), "palette": ((0, 0, 0), (9, 9, 9))}


def convolution(bias: float = 0.0) -> nn.Module:
    """(B, 3, H, W) -> (B, 2, H / 8, W / 8): exports in a moment."""
    network = nn.Conv2d(3, 2, 8, stride=8).eval()
    nn.init.constant_(network.bias, bias)
    return network


def write(network: nn.Module, path: Path, **changes) -> None:
    manifest = tiny.manifest(**TWO_CLASSES | changes)
    write_graph(network, manifest, path)


def in_float64(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """(B, H, W, 3) uint8 -> logits."""
    x = (torch.from_numpy(images).double() / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    with torch.inference_mode():
        return copy.deepcopy(network).double()(x.permute(0, 3, 1, 2)).numpy()


@pytest.mark.parametrize(
    ("batch", "height", "width"), [(1, 32, 32), (3, 64, 96), (1, 96, 64), (2, 32, 224), (1, 256, 288)]
)
def test_one_graph_serves_every_batch_and_size(batch, height, width):
    images = np.stack([tiny.image(height, width, seed=seed) for seed in range(batch)])
    got = OpenVINORuntime(tiny.graph(), threads=1).run("forward", {"image": images})["logits"]
    expected = in_float64(tiny.stored()[0], images)
    assert got.shape == (batch, 11, height // 8, width // 8)
    assert np.abs(got - expected).max() <= 5e-4 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("value", [0, 255])
def test_flat_images_too(value):
    images = np.full((1, 64, 64, 3), value, np.uint8)
    got = OpenVINORuntime(tiny.graph(), threads=1).run("forward", {"image": images})["logits"]
    expected = in_float64(tiny.stored()[0], images)
    assert np.abs(got - expected).max() <= 5e-4 * max(1, np.abs(expected).max())


def test_the_file_is_plain_onnx_with_the_signatures_tensors():
    model = onnx.load(tiny.graph())
    onnx.checker.check_model(model)
    (source,), (target,) = model.graph.input, model.graph.output
    assert (source.name, target.name) == ("image", "logits")
    assert source.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert target.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    batch, height, width, channels = source.type.tensor_type.shape.dim
    assert channels.dim_value == 3
    assert all(axis.dim_param and not axis.dim_value for axis in (batch, height, width))
    assert len({axis.dim_param for axis in (batch, height, width)}) == 3
    # no other file belongs to it
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)


def test_the_manifest_comes_back():
    runtime = OpenVINORuntime(tiny.graph())
    _, manifest = tiny.stored()
    assert runtime.manifest.converter == CONVERTER
    assert runtime.manifest.__dict__ == manifest.__dict__ | {"converter": CONVERTER}
    assert runtime.manifest.class_names == tiny.manifest().class_names
    assert runtime.manifest.metrics == {"nothing/val/miou": 1.5}
    assert runtime.manifest.weights_precision == "fp16"


def test_writing_leaves_nothing_but_the_file_and_the_network_as_it_was(tmp_path):
    network = convolution(0.5).train()
    before = copy.deepcopy(network.state_dict())
    (tmp_path / "g.onnx").write_text("an older file")
    write(network, tmp_path / "g.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["g.onnx"]
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    images = tiny.image(64, 32)[None]
    got = OpenVINORuntime(tmp_path / "g.onnx", threads=1).run("forward", {"image": images})["logits"]
    assert np.abs(got - in_float64(network, images)).max() <= 1e-5


def test_a_network_of_another_type_stays_as_it_was(tmp_path):
    network = convolution().double()
    write(network, tmp_path / "g.onnx")
    assert network.weight.dtype == torch.float64


def test_other_normalization_and_channels(tmp_path):
    network = nn.Conv2d(1, 2, 8, stride=8).eval()
    write(network, tmp_path / "g.onnx", mean=(0.25,), std=(0.5,))
    image = tiny.image(64, 32)[None, ..., :1].copy()
    got = OpenVINORuntime(tmp_path / "g.onnx", threads=1).run("forward", {"image": image})["logits"]
    with torch.inference_mode():
        expected = network(torch.from_numpy((image / 255 - 0.25) / 0.5).float().permute(0, 3, 1, 2)).numpy()
    assert np.abs(got - expected).max() <= 1e-5


def test_a_network_without_finite_answers_is_refused(tmp_path):
    with pytest.raises(ExportError, match="tiny") as caught:
        write(convolution(float("nan")), tmp_path / "g.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_graph_that_differs_takes_no_ones_place(tmp_path, monkeypatch):
    monkeypatch.setitem(TOLERANCES, "fp32", -1.0)
    (tmp_path / "g.onnx").write_text("the one before")
    with pytest.raises(ExportError, match=r"tiny: forward logits: graph and model differ by"):
        write(convolution(), tmp_path / "g.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["g.onnx"]
    assert (tmp_path / "g.onnx").read_text() == "the one before"


class Undecided(nn.Module):
    """Cannot be exported: what it does depends on the pixels."""

    def forward(self, x):
        return x[:, :2, ::8, ::8] if float(x.sum()) > 0 else x[:, 1:, ::8, ::8]


def test_a_network_that_cannot_be_exported_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"tiny: the exporter failed \(") as caught:
        write(Undecided(), tmp_path / "g.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


# --- the official weights


@pytest.fixture(scope="module")
def frame(shared):
    with Image.open(shared / "data" / "photos" / "cityscapes_frame.png") as image:
        image = np.asarray(image.convert("RGB")).copy()
    assert image.shape == (1024, 2048, 3)
    return image


@pytest.fixture(scope="module")
def official(shared):
    return shared / "weights" / "efficientvit_seg_b0_cityscapes.pt"


@pytest.fixture(scope="module")
def expected(official, frame):
    """(19, 128, 256) float64 by the network that the tests of the models keep for this."""
    from helpers import reference

    tiny.one_thread()
    state = torch.load(official, weights_only=True)
    state = state.get("state_dict", state)
    x = (torch.from_numpy(frame).double() / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    with torch.inference_mode():
        network = reference.Network(reference.ROWS["seg-b0"], reference.Given(state))
        return network(x.permute(2, 0, 1)[None])[0].numpy()


@pytest.mark.needs_shared
@pytest.mark.parametrize("runtime", ["eager", "openvino"])
def test_the_official_model_on_a_real_street(runtime, official, frame, expected, monkeypatch):
    monkeypatch.setenv("DENSEVIT_CACHE", str(tiny.folder() / "official"))
    model = densevit.load(
        "seg-b0-cityscapes", weights=official, runtime=runtime, precision="fp32", device="cpu", size="native"
    )
    logits = model.logits(frame)
    assert logits.shape == (19, 128, 256)
    assert np.isfinite(logits).all()
    assert np.abs(logits - expected).max() <= 5e-4
    assert (logits.argmax(0) == expected.argmax(0)).mean() >= 0.9999
    result = model.predict(frame)
    assert result.labels.shape == (1024, 2048)
    fractions = result.fractions()
    assert {"road", "sidewalk", "car", "person", "vegetation"} <= fractions.keys()
    assert fractions["road"] > 0.2
    assert result.class_names[0] == "road"
