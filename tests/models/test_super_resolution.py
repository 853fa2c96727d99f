"""EfficientViT-SR as a module: what it starts from, what it costs, and its skip in half precision."""

import numpy as np
import pytest
import torch
from torch import nn

from densevit.imaging import enlarge
from densevit.models.attention import MultiScaleAttention
from densevit.models.build import SuperResolutionModel, create_model
from densevit.variants import SUPER_RESOLUTION, count, with_ablations
from helpers import tiny

NAMES = list(SUPER_RESOLUTION)


@pytest.fixture(autouse=True)
def _one_thread():
    tiny.one_thread()


@pytest.mark.parametrize("name", NAMES)
def test_an_untrained_model_enlarges_bicubically(name):
    scale = SUPER_RESOLUTION[name].scale
    image = tiny.image(16, 32).astype(np.float32) / 255
    x = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    with torch.inference_mode():
        out = create_model(name)(x)[0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(out, enlarge(image, scale), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs_are_counted_without_torch(name):
    model = create_model(name)
    table = SUPER_RESOLUTION[name]
    assert count(table, (16, 16)).params == sum(parameter.numel() for parameter in model.parameters())
    # at the input's resolution everything grows with the area, but for the attention's sums too
    small, large = (count(table, (side, side)).macs for side in (64, 128))
    assert large == 4 * small


def test_structure_of_section_2_2():
    model = create_model("sr-x2")
    assert isinstance(model, SuperResolutionModel)
    assert [feature.stride for feature in model.backbone.features] == [1, 2, 4]
    attentions = [module for module in model.modules() if isinstance(module, MultiScaleAttention)]
    assert len(attentions) == 1
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    with_ablations(SUPER_RESOLUTION["sr-x2"], multi_scale=False)


def test_gradients_reach_every_weight_after_two_steps():
    model = create_model("sr-x2-w0.75")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, target = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 32, 32)
    # the first step only moves the output away from zero
    for _ in range(2):
        optimizer.zero_grad()
        (model(x) - target).abs().mean().backward()
        optimizer.step()
    assert [name for name, p in model.named_parameters() if not p.grad.abs().sum()] == []


def test_half_precision_leaves_the_skip_alone():
    """The correction may be coarse, the image under it not: an untrained model's output is exact."""
    from densevit.core.manifest import super_resolution_manifest
    from densevit.export import write_graph
    from densevit.runtimes.openvino import OpenVINORuntime, supports

    if not supports("bf16"):
        pytest.skip("this CPU has no bf16")
    path = tiny.folder() / "untrained-sr.onnx"
    write_graph(create_model("sr-x2-w0.75").eval(), super_resolution_manifest("sr", "sr-x2-w0.75"), path)
    image = tiny.image(48, 64).astype(np.float32) / 255
    tensor = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
    out = OpenVINORuntime(path, precision="bf16").run("forward", {"image": tensor})["enlarged"][0]
    np.testing.assert_allclose(out.transpose(1, 2, 0), enlarge(image, 2), atol=1e-5)
