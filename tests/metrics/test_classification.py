"""Top-1 and top-5 against sorting; states that add up."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densevit.metrics import ClassificationScore, SegmentationScore

# few different values, so that ties are common
answers = st.integers(1, 8).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(
            st.tuples(
                st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5]), min_size=classes, max_size=classes),
                st.integers(0, classes - 1),
            ),
            max_size=6,
        ),
    )
)


def score_of(classes, pairs):
    score = ClassificationScore(classes)
    for logits, target in pairs:
        score.update(np.array(logits, np.float32), target)
    return score


@given(answers)
def test_equals_sorting(case):
    classes, pairs = case
    order = [sorted(range(classes), key=lambda index, row=row: (-row[index], index)) for row, _ in pairs]
    got = score_of(classes, pairs).compute()
    for key, top in (("top1", 1), ("top5", 5)):
        hits = [target in best[:top] for best, (_, target) in zip(order, pairs, strict=True)]
        if hits:
            assert got[key] == pytest.approx(100 * sum(hits) / len(hits))
        else:
            assert math.isnan(got[key])


@given(answers, st.integers(2, 4))
def test_shares_add_up_exactly(case, processes):
    classes, pairs = case
    whole, merged = score_of(classes, pairs), ClassificationScore(classes)
    for rank in range(processes):
        merged.merge(score_of(classes, pairs[rank::processes]).state())
    assert repr(merged.compute()) == repr(whole.compute())


def test_ties_go_to_the_lower_index():
    score = ClassificationScore(8)
    score.update(np.zeros(8), 0)
    assert score.compute() == {"top1": 100, "top5": 100}
    score.update(np.zeros(8), 4)
    assert score.compute() == {"top1": 50, "top5": 100}
    score.update(np.zeros(8), 5)
    assert score.compute()["top5"] == pytest.approx(200 / 3)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_with_five_classes_or_fewer_top5_always_hits(classes):
    score = ClassificationScore(classes)
    score.update(np.arange(classes, dtype=np.float32), 0)
    assert score.compute() == {"top1": 100.0 if classes == 1 else 0.0, "top5": 100.0}


def test_logits_that_are_no_numbers_miss():
    score = ClassificationScore(6)
    score.update(np.full(6, np.nan), 0)
    score.update(np.array([1, np.nan, 0, 0, 0, 0]), 0)
    assert score.compute() == {"top1": 0, "top5": 0}


def test_reset_and_copies():
    score = score_of(6, [([0.0] * 6, 0)])
    state = score.state()
    state += 5
    assert score.compute()["top1"] == 100
    score.reset()
    assert score.state().tolist() == [0, 0, 0]


@pytest.mark.parametrize("target", [-1, 3])
def test_targets_that_are_no_class(target):
    with pytest.raises(ValueError, match=rf"0\.\.2, got {target}"):
        ClassificationScore(3).update(np.zeros(3), target)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(4,\), there are 3"):
        ClassificationScore(3).update(np.zeros(4), 0)
    with pytest.raises(ValueError, match="got 0"):
        ClassificationScore(0)
    for score in (ClassificationScore(3), SegmentationScore(["a"])):
        with pytest.raises(ValueError, match="the state is"):
            score.merge(np.zeros((2, 2), np.int64))
        with pytest.raises(ValueError, match="the state is float64"):
            score.merge(score.state().astype(float))


@given(st.integers(0, 2**31), st.integers(2, 4))
def test_segmentation_shares_add_up_exactly(seed, processes):
    generator = np.random.default_rng(seed)
    images = [(generator.integers(0, 4, (5, 6)), generator.choice([0, 1, 255], (5, 6))) for _ in range(7)]

    def score_of_images(part):
        score = SegmentationScore(["a", "b", "c"])
        for labels, target in part:
            score.update(labels, target)
        return score

    merged = SegmentationScore(["a", "b", "c"])
    for rank in range(processes):
        merged.merge(score_of_images(images[rank::processes]).state())
    assert repr(merged.compute()) == repr(score_of_images(images).compute())
