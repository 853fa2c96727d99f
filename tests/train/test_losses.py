"""Losses against their definitions, and where there is nothing to learn from."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from densevit.train import losses
from densevit.train.segmentation import SegmentationLoss

IGNORE = 255
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 0.25])


def some(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 4, 5, 6, generator=generator)
    target = torch.randint(0, 5, (2, 5, 6), generator=generator)
    return logits.requires_grad_(), torch.where(target == 4, IGNORE, target)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_cross_entropy(weight):
    logits, target = some()
    got = losses.cross_entropy(logits, target, weight=weight, ignore=IGNORE)
    torch.testing.assert_close(got, F.cross_entropy(logits, target, weight=weight, ignore_index=IGNORE))
    # and by hand
    known = target != IGNORE
    nll = -logits.log_softmax(1).gather(1, torch.where(known, target, 0)[:, None])[:, 0][known]
    share = torch.ones_like(nll) if weight is None else weight[target[known]]
    torch.testing.assert_close(got, (nll * share).sum() / share.sum())


def test_hard_cross_entropy():
    logits, target = some()
    each = F.cross_entropy(logits, target, weight=WEIGHT, ignore_index=IGNORE, reduction="none")
    each = np.sort(each[target != IGNORE].detach().numpy())[::-1]
    for share in (0.25, 0.5, 1.0):
        got = losses.hard_cross_entropy(logits, target, weight=WEIGHT, ignore=IGNORE, share=share)
        assert float(got.detach()) == pytest.approx(each[: int(share * len(each))].mean(), rel=1e-5)
    got = losses.hard_cross_entropy(logits, target, weight=WEIGHT, ignore=IGNORE, share=1e-9)
    assert float(got.detach()) == pytest.approx(each[0], rel=1e-5)


def by_hand_dice(logits: torch.Tensor, target: torch.Tensor) -> float:
    probabilities = logits.detach().double().softmax(1).numpy()
    known = (target != IGNORE).numpy()
    scores = []
    for index in range(logits.shape[1]):
        truth = (target.numpy() == index) & known
        if truth.any():
            guess = probabilities[:, index] * known
            scores.append(1 - 2 * (guess * truth).sum() / (guess.sum() + truth.sum()))
    return float(np.mean(scores))


def test_soft_dice():
    for seed in range(3):
        logits, target = some(seed)
        got = losses.soft_dice(logits, target, ignore=IGNORE)
        assert float(got.detach()) == pytest.approx(by_hand_dice(logits, target), rel=1e-4)
        got.backward()
        # what is unknown pulls nowhere
        assert (logits.grad.abs().sum(1)[target == IGNORE] == 0).all()
        assert (logits.grad.abs().sum(1)[target != IGNORE] > 0).all()


def test_soft_dice_of_a_perfect_answer_is_zero():
    _, target = some()
    logits = 100 * F.one_hot(torch.where(target == IGNORE, 0, target), 4).permute(0, 3, 1, 2).float()
    assert float(losses.soft_dice(logits, target, ignore=IGNORE)) == pytest.approx(0, abs=1e-6)
    assert float(losses.soft_dice(logits.roll(1, 1), target, ignore=IGNORE)) == pytest.approx(1, abs=1e-6)


def test_soft_dice_of_absent_classes():
    target = torch.full((1, 3, 3), 2)
    logits = torch.zeros(1, 4, 3, 3)
    # one class, probability 1/4 everywhere: 1 - 2 * (9/4) / (9/4 + 9)
    assert float(losses.soft_dice(logits, target, ignore=IGNORE)) == pytest.approx(0.6)


@pytest.mark.parametrize("name", ["cross_entropy", "hard_cross_entropy", "soft_dice"])
def test_nothing_known_is_zero_with_a_gradient(name):
    logits, target = some()
    options = {} if name == "soft_dice" else {"weight": WEIGHT}
    loss = getattr(losses, name)(logits, torch.full_like(target, IGNORE), ignore=IGNORE, **options)
    assert float(loss.detach()) == 0
    loss.backward()
    assert (logits.grad == 0).all()


def test_distillation():
    logits, _ = some()
    teacher = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(5)).softmax(1)
    student = logits.detach().double().softmax(1)
    divergence = (teacher.double() * (teacher.double().log() - student.log())).sum(1).mean()
    got = losses.distillation(logits, teacher)
    assert float(got.detach()) == pytest.approx(float(divergence), rel=1e-5)
    assert float(losses.distillation(logits, logits.detach().softmax(1)).detach()) == pytest.approx(0, abs=1e-6)
    sure = F.one_hot(torch.zeros(2, 5, 6, dtype=torch.int64), 4).permute(0, 3, 1, 2).float()
    got = losses.distillation(logits, sure)
    assert float(got.detach()) == pytest.approx(float(-logits.detach().log_softmax(1)[:, 0].mean()), rel=1e-5)


def test_class_weights():
    counts = torch.tensor([90, 10, 0])
    raw = [1 / math.log(1.1 + share) for share in (0.9, 0.1, 0.0)]
    expected = [value / (sum(raw) / 3) for value in raw]
    got = losses.compute_class_weights(counts)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)
    assert got[0] < got[1] < got[2]
    assert torch.equal(losses.compute_class_weights(torch.zeros(3, dtype=torch.int64)), torch.ones(3))


class Fixed(torch.nn.Module):
    """Answers with given logits, whatever the image."""

    def __init__(self, logits, imitation) -> None:
        super().__init__()
        self.answer = logits, imitation

    def forward(self, image):
        return self.answer


def test_the_parts_make_the_loss():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 4, 2, 3, generator=generator)
    imitation = torch.randn(1, 5, 2, 3, generator=generator)
    _, target = some()
    batch = {
        "image": torch.zeros(1, 3, 16, 24),
        "labels": target[:1],
        "soft": torch.randn(1, 5, 2, 3, generator=generator).softmax(1),
    }
    large = F.interpolate(logits, size=(5, 6), mode="bilinear", align_corners=False)
    for kind, entropy in (("cross_entropy", losses.cross_entropy), ("hard_pixels", losses.hard_cross_entropy)):
        loss = SegmentationLoss(kind, WEIGHT, dice=0.5, distillation=2.0)
        got = loss(Fixed(logits, imitation), batch)
        expected = {
            "cross_entropy": entropy(large, target[:1], weight=WEIGHT, ignore=IGNORE),
            "dice": losses.soft_dice(large, target[:1], ignore=IGNORE),
            "distillation": losses.distillation(imitation, batch["soft"]),
        }
        assert got.keys() == {"loss", *expected}
        for name, value in expected.items():
            torch.testing.assert_close(got[name], value)
        total = expected["cross_entropy"] + 0.5 * expected["dice"] + 2 * expected["distillation"]
        torch.testing.assert_close(got["loss"], total)
    assert SegmentationLoss("cross_entropy", None, 0, 2.0)(Fixed(logits, None), batch).keys() == {
        "loss",
        "cross_entropy",
    }
