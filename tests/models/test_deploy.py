"""Folded and wrapped models answer as the model did."""

import numpy as np
import pytest
import torch
from torch import nn

from densevit.checkpoints.names import to_own_names
from densevit.checkpoints.state import load_state
from densevit.models.attention import MultiScaleAttention
from densevit.models.build import create_model
from densevit.models.deploy import ImageInput, fold_norms, for_export
from densevit.variants import SEGMENTATION
from helpers import reference


def random_model() -> nn.Module:
    state, _ = reference.invent(reference.ROWS["seg-b0"], torch.zeros(1, 3, 32, 32, dtype=torch.float64), seed=3)
    model = create_model("seg-b0")
    load_state(model, to_own_names(state, model.state_dict(), SEGMENTATION["seg-b0"]), source="random")
    return model


@pytest.mark.parametrize("convert", [fold_norms, for_export])
@pytest.mark.parametrize("training", [False, True])
def test_the_copy_is_equal_and_the_model_is_left_alone(convert, training):
    model = random_model().train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    copy = convert(model)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in copy.modules())
    assert not copy.training
    assert model.training is training
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert {p.data_ptr() for p in model.parameters()}.isdisjoint(p.data_ptr() for p in copy.parameters())
    x = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        expected = model.eval()(x)
        assert float((copy(x) - expected).abs().max() / expected.abs().max()) < 1e-5


def test_folding_in_double_is_exact():
    model = random_model().double().eval()
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(fold_norms(model)(x), model(x), rtol=1e-9, atol=1e-9)


def test_for_export_does_not_choose_by_size():
    exported = for_export(random_model())
    kinds = {layer.implementation for layer in exported.modules() if isinstance(layer, MultiScaleAttention)}
    assert kinds == {"linear"}
    assert not any(parameter.requires_grad for parameter in exported.parameters())


def test_images_are_normalized_inside():
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    module = ImageInput(nn.Identity(), reference.MEAN, reference.STD)
    got = module(torch.from_numpy(image))
    assert got.dtype == torch.float32
    expected = (image / 255 - reference.MEAN) / reference.STD
    np.testing.assert_allclose(got.numpy(), expected.transpose(0, 3, 1, 2), rtol=0, atol=1e-6)
    assert not module.state_dict()
