"""What is built is what the tables count: parameters, arithmetic, shapes."""

import math

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from densevit.models.attention import MultiScaleAttention
from densevit.models.backbone import Backbone, Feature
from densevit.models.blocks import residual_block
from densevit.models.build import build, create_model
from densevit.models.fusion import Fusion
from densevit.models.heads import SegmentationHead
from densevit.models.layers import ConvNorm, activation_layer
from densevit.models.tiny_vit import WindowAttention
from densevit.variants import (
    ARCHITECTURES,
    BACKBONES,
    CLASSIFICATION,
    PROMPTABLE,
    SEGMENTATION,
    count,
    find_architecture,
    with_ablations,
)

ABLATIONS = {
    "classes": {"classes": 7},
    "one class": {"classes": 1},
    "channels": {"in_channels": 5},
    "single scale": {"multi_scale": False},
    "no global attention": {"global_attention": False},
    "all": {"multi_scale": False, "global_attention": False, "in_channels": 1, "classes": 2},
}


def learnable(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def counted_macs(model: nn.Module, x: torch.Tensor) -> int:
    """Multiply-accumulates of what really runs, from the shapes that pass."""
    total = 0

    def convolution(layer, inputs, out):
        nonlocal total
        rows, columns = layer.kernel_size
        total += out[0].numel() * rows * columns * inputs[0].shape[1] // layer.groups

    def attention(layer, inputs, out):
        nonlocal total
        if layer.global_attention:
            dim = layer.head_dim
            heads = inputs[0].shape[1] // dim * (1 + len(layer.aggregation))
            total += 2 * inputs[0].shape[2] * inputs[0].shape[3] * dim * (dim + 1) * heads

    def linear(layer, inputs, out):
        nonlocal total
        total += out.numel() * layer.in_features

    def window_attention(layer, inputs, out):
        nonlocal total
        batch, height, width, channels = inputs[0].shape
        tokens = layer.window**2
        windows = math.ceil(height / layer.window) * math.ceil(width / layer.window)
        total += 2 * batch * windows * tokens**2 * channels

    kinds = {
        nn.Conv2d: convolution,
        nn.Linear: linear,
        MultiScaleAttention: attention,
        WindowAttention: window_attention,
    }
    hooks = [layer.register_forward_hook(kinds[type(layer)]) for layer in model.modules() if type(layer) in kinds]
    model.eval()(x)
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_of_every_table(name):
    with torch.device("meta"):
        model = create_model(name)
    assert learnable(model) == count(ARCHITECTURES[name], (64, 64)).params


@pytest.mark.parametrize("name", PROMPTABLE)
def test_parameters_of_encoders_alone(name):
    with torch.device("meta"):
        encoder = create_model(name).image_encoder
    assert learnable(encoder) == count(PROMPTABLE[name], (64, 64)).encoder_params


@pytest.mark.parametrize("name", BACKBONES)
def test_parameters_of_every_backbone(name):
    with torch.device("meta"):
        model = Backbone(BACKBONES[name])
    assert learnable(model) == count(BACKBONES[name], (64, 64)).params


@pytest.mark.parametrize("name", ["seg-b0", "seg-b2-ade20k", "seg-l1", "seg-l1-ade20k"])
@pytest.mark.parametrize("case", ABLATIONS)
def test_parameters_of_ablations(name, case):
    options = ABLATIONS[case]
    with torch.device("meta"):
        model = create_model(name, **options)
    shape = {key: value for key, value in options.items() if key in ("classes", "in_channels")}
    table = with_ablations(find_architecture(name), **{k: v for k, v in options.items() if k not in shape})
    assert learnable(model) == count(table, (64, 64), **shape).params


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("seg-b0", (64, 96)),
        ("seg-b0", (1, 33)),
        ("seg-b1-ade20k", (65, 127)),
        ("seg-l1-ade20k", (65, 96)),
        ("cls-b0", (64, 97)),
        ("cls-b2", (224, 224)),
        ("cls-l1", (65, 96)),
        ("sam-l0", (512, 512)),
        ("sam-xl1", (1024, 1024)),
        ("sam-b1", (512, 512)),
        ("mobile-sam", (1024, 1024)),
        ("mobile-sam", (300, 201)),
    ],
)
def test_macs_are_those_of_the_layers_that_run(name, size):
    with FakeTensorMode():
        model = create_model(name)
        x = torch.empty(1, 3, *size)
    assert counted_macs(model, x) == count(ARCHITECTURES[name], size).macs


@pytest.mark.parametrize("case", ABLATIONS)
def test_macs_of_ablations(case):
    options = ABLATIONS[case]
    with FakeTensorMode():
        model = create_model("seg-b0", **options)
        x = torch.empty(1, options.get("in_channels", 3), 64, 96)
    shape = {key: value for key, value in options.items() if key in ("classes", "in_channels")}
    table = with_ablations(find_architecture("seg-b0"), **{k: v for k, v in options.items() if k not in shape})
    assert counted_macs(model, x) == count(table, (64, 96), **shape).macs


@pytest.mark.parametrize("name", SEGMENTATION)
def test_shapes_of_every_model(name):
    with FakeTensorMode():
        model = create_model(name, classes=5)
        assert model(torch.empty(2, 3, 64, 128)).shape == (2, 5, 8, 16)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_shapes_of_every_classifier(name):
    with FakeTensorMode():
        model = create_model(name)
        assert model(torch.empty(2, 3, 64, 128)).shape == (2, 1000)
        assert model(torch.empty(2, 3, 33, 128)).shape == (2, 1000)


def test_a_classifier_with_other_classes():
    with FakeTensorMode():
        assert create_model("cls-b0", classes=5)(torch.empty(2, 3, 33, 128)).shape == (2, 5)


@pytest.mark.parametrize("name", PROMPTABLE)
def test_shapes_of_every_image_encoder(name):
    side = PROMPTABLE[name].side_px
    with FakeTensorMode():
        assert create_model(name)(torch.empty(2, 3, side, side)).shape == (2, 256, 64, 64)


def test_promptable_models_have_no_classes():
    with pytest.raises(ValueError, match="sam-l0 has no classes"):
        create_model("sam-l0", classes=3)


@pytest.mark.parametrize("name", ["seg-b0", "cls-b0"])
@pytest.mark.parametrize("classes", [0, -1])
def test_at_least_one_class(name, classes):
    with pytest.raises(ValueError, match="classes must be at least 1"):
        create_model(name, classes=classes)


@pytest.mark.parametrize("size", [(1, 1), (31, 65), (33, 32), (100, 70)])
def test_any_size_is_rounded_up(size):
    model = create_model("seg-b0").eval()
    with torch.inference_mode():
        logits = model(torch.randn(1, 3, *size))
    assert logits.shape == (1, 19, -(-size[0] // 8), -(-size[1] // 8))
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["b0", "b2", "l0", "l3"])
def test_features_tell_channels_and_strides(name):
    with FakeTensorMode():
        backbone = Backbone(BACKBONES[name])
        maps = backbone(torch.empty(1, 3, 128, 192))
    assert len(maps) == len(backbone.features) == 5
    for feature, x in zip(backbone.features, maps, strict=True):
        assert x.shape == (1, feature.channels, 128 // feature.stride, 192 // feature.stride)
    assert [feature.stride for feature in backbone.features] == [2, 4, 8, 16, 32]


@pytest.mark.parametrize("name", ["seg-b0", "seg-l1"])
def test_every_norm_has_the_epsilon_of_its_family(name):
    with torch.device("meta"):
        model = create_model(name)
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert {layer.eps for layer in norms} == {1e-5 if "-b" in name else 1e-7}


def test_embedding_and_classifier_make_the_head():
    model = create_model("seg-b0").eval()
    assert isinstance(model.head, SegmentationHead)
    with torch.inference_mode():
        maps = model.backbone(torch.randn(1, 3, 64, 64))
        embedding = model.head.embed(maps)
        assert embedding.shape == (1, model.head.embedding_channels, 8, 8)
        assert torch.equal(model.head.classify(embedding), model.head(maps))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "seg-b9"}, r"'seg-b9'.*seg-b0"),
        ({"name": "seg-b0", "classes": 0}, r"classes must be at least 1, got 0"),
        ({"name": "seg-b0", "in_channels": 0}, r"in_channels must be at least 1, got 0"),
    ],
)
def test_wrong_models(options, message):
    with pytest.raises(ValueError, match=message):
        create_model(**options)


def test_a_head_needs_its_strides():
    with pytest.raises(ValueError, match=r"stride \[8, 16\]"):
        SegmentationHead(SEGMENTATION["seg-b0"].head, [Feature(8, 2), Feature(16, 32)], classes=3, norm_eps=1e-5)


def test_fusion_needs_all_maps():
    fusion = Fusion([Feature(8, 16), Feature(4, 8)], 4, norm_eps=1e-5)
    with pytest.raises(ValueError, match="expected 2 maps, got 1"):
        fusion([torch.zeros(1, 8, 2, 2)])


def test_unknown_blocks_and_activations():
    with pytest.raises(ValueError, match="'att'"):
        residual_block("att", 8, 8, expand=1, activation="gelu", norm_eps=1e-5)
    with pytest.raises(ValueError, match="'res' from 8 to 16"):
        residual_block("res", 8, 16, expand=1, activation="gelu", norm_eps=1e-5)
    with pytest.raises(ValueError, match="'tanh'"):
        activation_layer("tanh")


@pytest.mark.parametrize("kind", ["ds", "mb", "fmb"])
@pytest.mark.parametrize(("out", "stride", "shortcut"), [(8, 1, True), (8, 2, False), (12, 1, False)])
def test_shortcuts_where_the_shape_is_kept(kind, out, stride, shortcut):
    block = residual_block(kind, 8, out, expand=2, stride=stride, activation="hswish", norm_eps=1e-5).eval()
    last = [layer for layer in block.modules() if isinstance(layer, nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)
    x = torch.randn(1, 8, 6, 6)
    kept = x.clone()
    y = block(x)
    assert torch.equal(y, kept if shortcut else torch.zeros_like(y))
    # activations may work in place, but not on what the caller holds
    assert torch.equal(x, kept)


def test_convolution_with_norm():
    layer = ConvNorm(3, 6, 3, stride=2, groups=3, norm=False, bias=True, activation="gelu")
    x = torch.randn(1, 3, 7, 8)
    expected = nn.functional.gelu(layer.conv(x), approximate="tanh")
    assert torch.equal(layer(x), expected)
    assert expected.shape == (1, 6, 4, 4)


def test_models_can_be_trained():
    torch.manual_seed(0)
    model = build(SEGMENTATION["seg-b0"], classes=3).train()
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
