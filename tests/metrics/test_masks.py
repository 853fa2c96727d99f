"""Mean IoU of objects, by size, the same however many processes share the data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densevit.metrics import MaskScore

OBJECTS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 20_000)), max_size=20)


def scored(*objects: tuple[float, float]) -> MaskScore:
    score = MaskScore()
    score.update(*np.array(objects, np.float64).reshape(-1, 2).T)
    return score


def test_groups():
    got = scored((0.5, 1), (1, 1023), (0.25, 5000), (0, 50_000), (0.5, 60_000)).compute()
    assert got == {"iou": 45.0, "iou_small": 75.0, "iou_medium": 25.0, "iou_large": 25.0}


def test_an_object_on_a_border_counts_in_both_groups():
    assert scored((0.5, 1024)).compute() == {"iou": 50, "iou_small": 50, "iou_medium": 50, "iou_large": None}
    assert scored((0.5, 9216)).compute() == {"iou": 50, "iou_small": None, "iou_medium": 50, "iou_large": 50}


def test_nothing_counted():
    assert set(MaskScore().compute().values()) == {None}
    score = scored((1, 1))
    score.reset()
    assert set(score.compute().values()) == {None}


@given(OBJECTS, st.integers(0, 20))
def test_shared_by_two(objects, cut):
    one, other, together = scored(*objects[:cut]), scored(*objects[cut:]), scored(*objects)
    assert (one.state() + other.state() == together.state()).all()
    one.merge(other.state())
    assert one.compute() == together.compute()
    if objects:
        assert one.compute()["iou"] == pytest.approx(100 * np.mean([iou for iou, _ in objects]), abs=1e-6)


def test_values_out_of_range_are_refused():
    score = MaskScore()
    with pytest.raises(ValueError, match=r"both \(N,\)"):
        score.update(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="iou must be 0"):
        score.update(np.array([1.5]), np.ones(1))
    with pytest.raises(ValueError, match="iou must be 0"):
        score.update(np.array([np.nan]), np.ones(1))
    with pytest.raises(ValueError, match="not negative"):
        score.update(np.ones(1), np.array([-1.0]))
    with pytest.raises(ValueError, match="this score's"):
        score.merge(np.zeros((3, 2), np.int64))
    state = score.state()
    state += 1
    assert not score.state().any()
