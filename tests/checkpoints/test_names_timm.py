"""The classifiers against timm's EfficientViT, which other people maintain: same tensors in, same logits out."""

from functools import cache

import pytest
import torch
from torch import nn

from densevit.checkpoints.names import detect_convention, official_name, timm_name, to_own_names
from densevit.checkpoints.state import load_state
from densevit.models.build import build
from densevit.variants import CLASSIFICATION
from helpers.torchvision_shim import make_torchvision_importable

PUBLISHED_BY_TIMM = {name: f"efficientvit_{name.removeprefix('cls-')}" for name in CLASSIFICATION}


@cache
def timm():
    make_torchvision_importable()
    try:
        import timm
    except ModuleNotFoundError as error:
        pytest.skip(f"parity needs the test extra (timm, torchvision): no module {error.name}")
    return timm


def timm_model(name: str) -> nn.Module:
    """With random weights and statistics, and the epsilons of the official code."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm().create_model(PUBLISHED_BY_TIMM[name], pretrained=False).eval()
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(std=0.2)
                layer.running_var.uniform_(0.5, 1.5)
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, std=0.2)
            if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm):
                layer.eps = CLASSIFICATION[name].backbone.norm_eps
            if type(layer).__name__ == "LiteMLA":
                layer.eps = 1e-15
    return model


@pytest.mark.parametrize("name", [name for name in CLASSIFICATION if name != "cls-l3"])
def test_equal_logits(name):
    theirs = timm_model(name)
    ours = build(CLASSIFICATION[name])
    assert detect_convention(theirs.state_dict()) == "timm"
    load_state(ours, to_own_names(theirs.state_dict(), ours.state_dict(), CLASSIFICATION[name]), source="timm")
    x = torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, got = theirs(x), ours.eval()(x)
    assert got.shape == (2, 1000)
    scale = float(expected.max() - expected.min())
    assert scale > 0.1
    assert float((got - expected).abs().max()) <= 1e-4 * scale


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_names_and_shapes_are_those_of_timm(name):
    module = timm()
    table = CLASSIFICATION[name]
    with torch.device("meta"):
        ours = build(table).state_dict()
        theirs = module.create_model(PUBLISHED_BY_TIMM[name], pretrained=False).state_dict()
    assert {timm_name(key, table): tensor.shape for key, tensor in ours.items()} == {
        key: tensor.shape for key, tensor in theirs.items()
    }


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_no_two_tensors_share_a_name(name):
    table = CLASSIFICATION[name]
    with torch.device("meta"):
        keys = list(build(table).state_dict())
    for rename in (timm_name, official_name):
        assert len({rename(key, table) for key in keys}) == len(keys)
