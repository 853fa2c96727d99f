"""Decay, learning rate and averaged weights, by their formulas."""

import math

import pytest
import torch
from torch import nn

from densevit.train.optimizer import AveragedModel, build_optimizer, compute_learning_rate
from densevit.train.options import Options


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def test_decay_on_matrices_only():
    net = model()
    net[3].bias.requires_grad_(False)
    optimizer = build_optimizer(net, Options(weight_decay=0.3, learning_rate=1e-2))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    expected = {id(net[0].weight): 0.3, id(net[3].weight): 0.3}
    expected |= {id(p): 0.0 for p in (net[0].bias, net[1].weight, net[1].bias)}
    assert decay == expected
    assert {group["lr"] for group in optimizer.param_groups} == {1e-2}


def test_the_course_of_the_learning_rate():
    options = Options(steps=110, warmup_steps=10, learning_rate=2.0)
    assert [compute_learning_rate(step, options) for step in (0, 4, 9)] == pytest.approx([0.2, 1.0, 2.0])
    assert compute_learning_rate(10, options) == pytest.approx(2.0)
    assert compute_learning_rate(60, options) == pytest.approx(1.0)
    assert compute_learning_rate(35, options) == pytest.approx(1 + math.cos(math.pi / 4))
    assert 0 < compute_learning_rate(109, options) < 1e-3
    assert compute_learning_rate(110, options) == pytest.approx(0)
    assert compute_learning_rate(500, options) == pytest.approx(0)
    course = [compute_learning_rate(step, options) for step in range(10, 111)]
    assert course == sorted(course, reverse=True)


def test_no_warmup_and_nothing_but_warmup():
    assert compute_learning_rate(0, Options(warmup_steps=0, learning_rate=3.0)) == pytest.approx(3.0)
    options = Options(steps=5, warmup_steps=10, learning_rate=1.0)
    assert compute_learning_rate(4, options) == pytest.approx(0.5)
    assert compute_learning_rate(10, options) == pytest.approx(1.0)


def test_averaged_weights():
    net = model().double().train()
    averaged = AveragedModel(net, 0.5)
    assert not averaged.model.training
    assert not any(parameter.requires_grad for parameter in averaged.model.parameters())
    expected = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for step in range(30):
        net(torch.randn(5, 3, 1, 1, dtype=torch.float64))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
        averaged.update(net, step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * tensor
            else:
                expected[name] = tensor.clone()
    for name, tensor in averaged.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-12, atol=1e-12)
    assert int(averaged.model.state_dict()["1.num_batches_tracked"]) == 30


def test_averaging_leaves_the_model_alone():
    net = model().train()
    averaged = AveragedModel(net, 0.9)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        for tensor in averaged.model.parameters():
            tensor.add_(1)
    averaged.update(net, 3)
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_no_decay_is_the_model_itself():
    net = model()
    averaged = AveragedModel(net, 0.0)
    with torch.no_grad():
        net[0].weight.add_(1)
    averaged.update(net, 100)
    assert torch.equal(averaged.model[0].weight, net[0].weight)
