"""Losses of masks are what their formulas say, at points that lie where they should."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.train.mask_losses import (
    MaskLoss,
    actual_iou,
    cross_entropy,
    dice,
    draw_uncertain_points,
    sample_values,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class TestPoints:
    def test_values_between_cells(self):
        maps = torch.tensor([[[0.0, 4.0], [8.0, 12.0]]])
        points = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.5, 0.25], [0.5, 0.5], [0.0, 0.0], [0.25, 1.0]]])
        assert sample_values(maps, points)[0].tolist() == pytest.approx([0, 4, 2, 6, 0, 8])

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 3), st.integers(1, 50), st.floats(1, 4), st.floats(0, 1))
    def test_all_lie_within(self, maps, count, oversample, importance):
        points = draw_uncertain_points(
            torch.randn(maps, 5, 7), count, oversample=oversample, importance=importance
        )
        assert points.shape == (maps, count, 2)
        assert bool(((points >= 0) & (points <= 1)).all())

    def test_most_are_where_the_logits_change_their_sign(self):
        # 0 at x = 1/4 of the first map, at y = 3/4 of the second
        ramp = torch.linspace(-1, 3, 65)[1:].sub(1 / 32).repeat(64, 1)
        points = draw_uncertain_points(torch.stack([ramp, ramp.flip(1).T]), 1000)
        for index, (axis, place) in enumerate([(0, 0.25), (1, 0.75)]):
            near = (points[index, :, axis] - place).abs()
            # a quarter of three times as many is nearest; the others are anywhere
            assert (near[:750] < 0.15).all()
            assert (near[750:] > 0.15).float().mean() > 0.5

    def test_no_gradient_passes_through_their_choice(self):
        assert not draw_uncertain_points(torch.randn(1, 4, 4, requires_grad=True), 8).requires_grad


class TestFormulas:
    def test_cross_entropy(self):
        found = cross_entropy(torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.tensor([[1.0, 0.5], [1.0, 0.0]]))
        expected = [math.log(2), (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2]
        assert found.tolist() == pytest.approx(expected)

    def test_dice(self):
        truth = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
        assert float(dice(torch.tensor([[50.0, 50, -50, -50]]), truth)) == pytest.approx(0)
        assert float(dice(torch.tensor([[-50.0, -50, 50, 50]]), truth)) == pytest.approx(1 - 1 / 5)
        assert float(dice(torch.zeros(1, 4), truth)) == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))

    def test_iou(self):
        truth = torch.tensor([[[True, True], [False, False]]])
        logits = torch.tensor([[[[1.0, -1], [1, -1]], [[1, 1], [0, 0]], [[-1, -1], [-1, -1]]]])
        assert actual_iou(logits, truth)[0].tolist() == pytest.approx([1 / 3, 1, 0])
        assert actual_iou(torch.full((1, 1, 2, 2), -1.0), torch.zeros(1, 2, 2, dtype=torch.bool)).item() == 0


class TestLoss:
    MASKS = torch.zeros(2, 8, 8, dtype=torch.uint8)
    MASKS[0, :, :4] = 255  # the left half
    MASKS[1, 4:] = 255  # the lower half

    def logits(self, *signs):
        """(2, M, 8, 8): the true masks, surer or surely wrong."""
        sure = (self.MASKS.float() / 255 - 0.5)[:, None]
        return torch.cat([sign * sure for sign in signs], dim=1)

    def test_flat_logits(self):
        # every probability is a half, wherever the points lie
        parts = MaskLoss(points=4096).compare_masks(torch.zeros(2, 1, 8, 8), torch.full((2, 1), 0.25), self.MASKS)
        assert parts["cross_entropy"].item() == pytest.approx(math.log(2))
        assert parts["dice"].item() == pytest.approx(0.5, abs=0.03)
        assert parts["score"].item() == pytest.approx(0.0625)
        expected = 20 * parts["cross_entropy"] + parts["dice"] + parts["score"]
        assert parts["loss"].item() == pytest.approx(float(expected))

    def test_the_best_mask_counts_alone(self):
        logits = self.logits(-40.0, 40.0, 0.0).requires_grad_()
        scores = torch.zeros(2, 3, requires_grad=True)
        parts = MaskLoss(points=64).compare_masks(logits, scores, self.MASKS)
        assert parts["iou"].item() == 1
        assert parts["cross_entropy"].item() < 0.7
        parts["loss"].backward()
        moved = logits.grad.abs().sum(dim=(0, 2, 3))
        assert moved[0] == moved[2] == 0 < moved[1]

    def test_every_score_learns_its_mask_s_quality(self):
        scores = torch.full((2, 3), 0.5, requires_grad=True)
        parts = MaskLoss(points=64).compare_masks(self.logits(-40.0, 40.0, 0.0), scores, self.MASKS)
        assert parts["score"].item() == pytest.approx(0.25)
        parts["loss"].backward()
        # of the mask that is right it must rise, of the others it must fall
        torch.testing.assert_close(scores.grad, torch.tensor([[1.0, -1, 1]] * 2) / 6)

    def test_weights(self):
        logits, scores = self.logits(1.0), torch.ones(2, 1)
        torch.manual_seed(1)
        plain = MaskLoss(points=64).compare_masks(logits, scores, self.MASKS)
        torch.manual_seed(1)
        other = MaskLoss(2.0, 3.0, 4.0, points=64).compare_masks(logits, scores, self.MASKS)
        expected = 2 * plain["cross_entropy"] + 3 * plain["dice"] + 4 * plain["score"]
        assert float(other["loss"]) == pytest.approx(float(expected))

    @pytest.mark.parametrize(("multimask", "asked"), [(False, [0]), (True, [1, 2, 3])])
    def test_one_mask_or_three(self, multimask, asked):
        logits = torch.zeros(2, 4, 8, 8, requires_grad=True)
        scores = torch.ones(2, 4, requires_grad=True)
        names = ("image", "points", "labels", "prompts", "tokens")
        batch = dict.fromkeys(names, torch.zeros(1)) | {
            "masks": self.MASKS,
            "multimask": torch.tensor([multimask]),
        }
        MaskLoss(points=64)(lambda *inputs: (logits, scores), batch)["loss"].backward()
        assert scores.grad.abs().sum(dim=0).nonzero().flatten().tolist() == asked
        assert set(logits.grad.abs().sum(dim=(0, 2, 3)).nonzero().flatten().tolist()) <= set(asked)
