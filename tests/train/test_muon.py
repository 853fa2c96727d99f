"""Muon: updates are orthogonal, the rest is AdamW, and its state survives a checkpoint."""

import copy

import pytest
import torch
from torch import nn

from densevit.train.muon import Muon, find_matrices, orthogonalize
from densevit.train.optimizer import build_optimizer
from densevit.train.options import Options


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (48, 432), (32, 32)])
def test_orthogonal_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.4


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.Conv2d(32, 32, 3, padding=1, groups=32),
        nn.Conv2d(32, 3, 1),
    )


def test_only_dense_weights_are_matrices():
    model = network()
    assert [id(weight) for weight in find_matrices(model)] == [id(model[1].weight)]


def test_the_rest_is_adamw():
    ours, theirs = network(), network()
    optimizer = build_optimizer(ours, Options(optimizer="muon", learning_rate=1e-2, weight_decay=0.1))
    reference = torch.optim.AdamW(theirs.parameters(), lr=1e-2, betas=(0.9, 0.99), weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        optimizer.step()
        reference.step()
    # biases have no decay
    torch.testing.assert_close(ours[0].bias, theirs[0].bias)
    assert not torch.allclose(ours[1].weight, theirs[1].weight)


def test_updates_of_matrices_have_the_size_of_adams():
    model = network()
    before = model[1].weight.detach().clone()
    optimizer = build_optimizer(model, Options(optimizer="muon", learning_rate=1e-2, weight_decay=0.0))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    moved = (model[1].weight - before).square().mean().sqrt()
    assert 0.1e-2 < moved < 0.3e-2


def test_state_goes_through_a_checkpoint():
    def steps(optimizer, model, count, generator):
        for _ in range(count):
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()

    options = Options(optimizer="muon")
    whole = network()
    generator = torch.Generator().manual_seed(1)
    steps(build_optimizer(whole, options), whole, 4, generator)
    half = network()
    optimizer = build_optimizer(half, options)
    generator = torch.Generator().manual_seed(1)
    steps(optimizer, half, 2, generator)
    state = copy.deepcopy(optimizer.state_dict())
    again = build_optimizer(half, options)
    again.load_state_dict(state)
    steps(again, half, 2, generator)
    for one, other in zip(whole.parameters(), half.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert isinstance(again, Muon)
