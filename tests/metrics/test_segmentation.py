"""Scores against plain counting, class by class."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.metrics import IGNORE, SegmentationScore


def by_counting(images: list[tuple[np.ndarray, np.ndarray]], classes: int, ignore: int) -> dict:
    """The definition: sums over the set per class, a class seen nowhere left out of the mean."""
    ious = []
    right = pixels = 0
    for index in range(classes):
        both = either = 0
        for labels, target in images:
            for predicted, true in zip(labels.ravel().tolist(), target.ravel().tolist(), strict=True):
                if true == ignore:
                    continue
                both += predicted == index and true == index
                either += predicted == index or true == index
        ious.append(100 * both / either if either else None)
    for labels, target in images:
        for predicted, true in zip(labels.ravel().tolist(), target.ravel().tolist(), strict=True):
            pixels += true != ignore
            right += true != ignore and predicted == true
    seen = [iou for iou in ious if iou is not None]
    return {
        "miou": sum(seen) / len(seen) if seen else math.nan,
        "pixel_accuracy": 100 * right / pixels if pixels else math.nan,
        "iou_per_class": ious,
    }


@st.composite
def sets(draw):
    classes = draw(st.integers(1, 5))
    ignore = draw(st.sampled_from([IGNORE, 200]))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.int64]))
    images = []
    for _ in range(draw(st.integers(0, 3))):
        shape = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        pixels = shape[0] * shape[1]
        # predictions may be no class of this data set
        labels = draw(st.lists(st.sampled_from([*range(classes), 77, ignore]), min_size=pixels, max_size=pixels))
        target = draw(st.lists(st.sampled_from([*range(classes), ignore]), min_size=pixels, max_size=pixels))
        images.append((np.array(labels, dtype).reshape(shape), np.array(target, dtype).reshape(shape)))
    return classes, ignore, images


@given(sets())
@settings(max_examples=150, deadline=None)
def test_equals_counting(case):
    classes, ignore, images = case
    names = [f"class {index}" for index in range(classes)]
    score = SegmentationScore(names, ignore=ignore)
    for labels, target in images:
        kept = labels.copy(), target.copy()
        score.update(labels, target)
        np.testing.assert_array_equal(labels, kept[0])
        np.testing.assert_array_equal(target, kept[1])
    got, expected = score.compute(), by_counting(images, classes, ignore)
    assert got["miou"] == pytest.approx(expected["miou"], nan_ok=True)
    assert got["pixel_accuracy"] == pytest.approx(expected["pixel_accuracy"], nan_ok=True)
    assert list(got["iou_per_class"]) == names
    for value, other in zip(got["iou_per_class"].values(), expected["iou_per_class"], strict=True):
        assert value == (other if other is None else pytest.approx(other))
    # computing changes nothing, resetting everything
    assert repr(score.compute()) == repr(got)
    score.reset()
    assert math.isnan(score.compute()["miou"])
    assert set(score.compute()["iou_per_class"].values()) == {None}


def test_a_small_one_by_hand():
    score = SegmentationScore(["a", "b", "c"])
    score.update(np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, IGNORE]]))
    got = score.compute()
    assert got["iou_per_class"] == {"a": 50.0, "b": 50.0, "c": None}
    assert got["miou"] == 50
    assert got["pixel_accuracy"] == pytest.approx(200 / 3)


def test_sums_over_the_set_not_means_over_images():
    score = SegmentationScore(["a", "b"])
    score.update(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    score.update(np.zeros((1, 9), np.uint8), np.ones((1, 9), np.uint8))
    assert score.compute()["iou_per_class"] == {"a": 10.0, "b": 0.0}


def test_negative_predictions_are_wrong_and_no_class():
    score = SegmentationScore(["a", "b"])
    score.update(np.array([[-1, 0]]), np.array([[0, 0]]))
    assert score.compute()["iou_per_class"] == {"a": 50.0, "b": None}
    assert score.compute()["pixel_accuracy"] == 50


def test_values_are_plain_numbers():
    score = SegmentationScore(["a"])
    score.update(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    got = score.compute()
    assert type(got["miou"]) is type(got["pixel_accuracy"]) is type(got["iou_per_class"]["a"]) is float


@pytest.mark.parametrize("value", [2, 254, 11])
def test_a_target_that_is_no_class(value):
    score = SegmentationScore(["a", "b"])
    with pytest.raises(ValueError, match=rf"0\.\.1 or 255.*{value}"):
        score.update(np.zeros((1, 2), np.uint8), np.array([[0, value]], np.uint8))
    assert math.isnan(score.compute()["miou"])


def test_a_negative_target():
    with pytest.raises(ValueError, match="-1"):
        SegmentationScore(["a"]).update(np.zeros((1, 1), int), np.full((1, 1), -1))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        SegmentationScore(["a"]).update(np.zeros((2, 3), int), np.zeros((3, 2), int))


def test_no_classes():
    with pytest.raises(ValueError, match="at least one"):
        SegmentationScore([])
