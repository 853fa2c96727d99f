"""Overlaps of boxes, and which to keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from densevit.masks import box_iou, non_maximum_suppression


def made(count: int, *, seed: int, span: float = 100, side: float = 30) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    corner = generator.uniform(0, span, (count, 2))
    boxes = np.hstack([corner, corner + generator.uniform(0, side, (count, 2))]).astype(np.float32)
    return boxes, generator.random(count).astype(np.float32)


def one_by_one(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """The definition: take the best that is left, strike all that overlap it by more."""
    overlap = box_iou(boxes, boxes)
    left = sorted(range(len(boxes)), key=lambda index: (-scores[index], index))
    kept = []
    while left:
        best, *left = left
        kept.append(best)
        left = [index for index in left if not overlap[best, index] > threshold]
    return kept


def test_overlaps():
    boxes, _ = made(40, seed=0)
    others, _ = made(30, seed=1)
    as_coco = [np.hstack([b[:, :2], b[:, 2:] - b[:, :2]]).astype(np.float64) for b in (boxes, others)]
    overlap = box_iou(boxes, others)
    assert overlap.shape == (40, 30)
    assert overlap.dtype == np.float32
    np.testing.assert_allclose(overlap, coco.iou(*as_coco, [0] * 30), atol=1e-5)
    assert box_iou(boxes[:0], others).shape == (0, 30)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("count", [1, 40, 700])
def test_keeps_what_the_definition_keeps(count, threshold):
    boxes, scores = made(count, seed=count, span=10 * count**0.5)
    scores = scores.round(1)  # many are equal
    kept = non_maximum_suppression(boxes, scores, threshold)
    assert kept.tolist() == one_by_one(boxes, scores, threshold)


@given(st.integers(0, 30), st.integers(0, 1000), st.floats(0, 1))
def test_what_is_kept_overlaps_little_and_the_rest_much(count, seed, threshold):
    boxes, scores = made(count, seed=seed)
    kept = non_maximum_suppression(boxes, scores, threshold)
    overlap = box_iou(boxes[kept], boxes)
    among = overlap[:, kept]
    assert not (among > threshold)[~np.eye(len(kept), dtype=bool)].any()
    assert (np.diff(scores[kept]) <= 0).all()
    struck = np.setdiff1d(np.arange(count), kept)
    better = scores[kept][:, None] >= scores[struck]
    assert ((overlap[:, struck] > threshold) & better).any(0).all()


def test_many_boxes():
    boxes, scores = made(5000, seed=5, span=300)
    kept = non_maximum_suppression(boxes, scores, 0.5)
    np.testing.assert_array_equal(non_maximum_suppression(boxes[kept], scores[kept], 0.5), np.arange(len(kept)))
    assert 100 < len(kept) < 5000


def test_boxes_without_area_stay():
    boxes = np.zeros((3, 4), np.float32)
    assert non_maximum_suppression(boxes, np.array([1.0, 3, 2]), 0.5).tolist() == [1, 2, 0]


def test_other_arguments_are_refused():
    boxes, scores = made(3, seed=0)
    with pytest.raises(ValueError, match=r"floating \(N, 4\)"):
        non_maximum_suppression(boxes[:, :3], scores, 0.5)
    with pytest.raises(ValueError, match=r"floating \(N, 4\)"):
        box_iou(boxes, boxes.astype(int))
    with pytest.raises(ValueError, match=r"allowed: \(3,\)"):
        non_maximum_suppression(boxes, scores[:2], 0.5)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        non_maximum_suppression(boxes, scores, 1.5)
    scores[1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        non_maximum_suppression(boxes, scores, 0.5)
