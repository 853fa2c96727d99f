"""The prompt encoder against Segment Anything's, and what it refuses."""

import json

import pytest
import torch

from densevit.models.channel_norm import ChannelNorm
from densevit.models.prompts import PromptEncoder
from helpers.segment_anything_reference import (
    CHECKPOINTS,
    PROMPTS,
    SMALL_GRID,
    boxes_of,
    points_of,
    segment_anything_modules,
)


@pytest.fixture(scope="module")
def official():
    return segment_anything_modules(SMALL_GRID)[0]


@pytest.fixture
def encoder(official):
    ours = PromptEncoder(grid=SMALL_GRID).eval().requires_grad_(False)
    ours.load_state_dict(official.state_dict())
    return ours


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_parameters_are_named_and_shaped_as_in_the_official_checkpoints(name, shared):
    table = json.loads((shared / "reference" / "state_dict_shapes.json").read_text())[name]
    prefix = "prompt_encoder."
    expected = {key.removeprefix(prefix): shape for key, shape in table.items() if key.startswith(prefix)}
    with torch.device("meta"):
        state = PromptEncoder().state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == expected


def test_learnable_parameters():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in PromptEncoder().parameters()) == 6_220


@pytest.mark.parametrize("case", PROMPTS)
def test_equals_segment_anything(case, encoder, official):
    points, boxes, masks = PROMPTS[case]
    labeled = (None, None) if points is None else points
    sparse, dense = encoder(*labeled, boxes=boxes, masks=masks)
    expected_sparse, expected_dense = official(points=points, boxes=boxes, masks=masks)
    torch.testing.assert_close(sparse, expected_sparse, rtol=0, atol=1e-5)
    torch.testing.assert_close(dense.expand_as(expected_dense), expected_dense, rtol=0, atol=1e-5)


@pytest.mark.parametrize("grid", [SMALL_GRID, 64])
def test_positions_of_the_grid_equal_segment_anything(grid):
    official = segment_anything_modules(grid)[0]
    encoder = PromptEncoder(grid=grid)
    encoder.load_state_dict(official.state_dict())
    torch.testing.assert_close(encoder.dense_positions(), official.get_dense_pe(), rtol=0, atol=1e-5)


def test_a_box_is_two_labeled_points(encoder):
    boxes = boxes_of(3)
    corners = encoder.embed_points(boxes.reshape(3, 2, 2), torch.tensor([2, 3]).expand(3, 2))
    assert torch.equal(corners, encoder(boxes=boxes)[0])


def test_the_place_of_no_point_is_ignored(encoder):
    far = torch.tensor([[[1e30, torch.inf]]])
    token = encoder.embed_points(far, torch.tensor([[-1]]))
    assert torch.equal(token[0], encoder.not_a_point_embed.weight)


def test_points_without_a_box_get_a_padding_token(encoder):
    points, labels = points_of(2, 3)
    sparse, dense = encoder(points, labels)
    padded = encoder.embed_points(
        torch.cat([points, torch.zeros(2, 1, 2)], 1), torch.cat([labels, -torch.ones(2, 1, dtype=torch.long)], 1)
    )
    assert torch.equal(sparse, padded)
    assert dense.shape == (1, 256, SMALL_GRID, SMALL_GRID)


def test_positions_keep_full_precision_under_autocast(encoder):
    points, labels = points_of(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sparse = encoder.embed_points(points, labels)
    assert torch.equal(sparse, encoder.embed_points(points, labels))


def test_other_sizes(encoder):
    small = PromptEncoder(32, grid=8, frame=128, mask_width=8)
    sparse, dense = small(boxes=torch.zeros(2, 4), masks=torch.zeros(2, 1, 32, 32))
    assert (sparse.shape, dense.shape) == ((2, 2, 32), (2, 32, 8, 8))
    assert small.dense_positions().shape == (1, 32, 8, 8)


def test_channel_norm_of_its_formula():
    norm = ChannelNorm(5).double()
    norm.weight.data.uniform_()
    norm.bias.data.uniform_()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    deviation = x - x.mean(1, keepdim=True)
    expected = deviation / (deviation.square().mean(1, keepdim=True) + 1e-6).sqrt()
    expected = expected * norm.weight.reshape(-1, 1, 1) + norm.bias.reshape(-1, 1, 1)
    torch.testing.assert_close(norm(x), expected)


REFUSED = {
    "nothing": ({}, "needs points, boxes or masks"),
    "points alone": ({"points": torch.zeros(1, 2, 2)}, "come together"),
    "labels alone": ({"labels": torch.zeros(1, 2)}, "come together"),
    "no batch": ({"points": torch.zeros(2, 2), "labels": torch.zeros(2)}, "points must be"),
    "a scalar": ({"points": torch.tensor(0.0), "labels": torch.tensor(0)}, "points must be"),
    "counts": ({"points": torch.zeros(1, 2, 2), "labels": torch.zeros(1, 3)}, "points must be"),
    "prompts": ({"boxes": torch.zeros(2, 4), "masks": torch.zeros(3, 1, 256, 256)}, "masks must be"),
    "box": ({"boxes": torch.zeros(1, 2, 2)}, "boxes must be"),
    "mask size": ({"masks": torch.zeros(1, 1, 128, 128)}, "masks must be"),
    "label": ({"points": torch.zeros(1, 1, 2), "labels": torch.tensor([[4]])}, "labels must be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    given, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        PromptEncoder()(**given)
