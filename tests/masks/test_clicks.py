"""The next click is the deepest point of the worse error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from densevit.masks import Click, MaskError, choose_click
from helpers.shapes import MASKS, blobs


def depths(mask: np.ndarray) -> np.ndarray:
    return ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] ** 2


def by_definition(truth, prediction):
    """RITM's: pad, distances, the greater of the two maxima, its first point."""
    missing, too_much = depths(truth & ~prediction).round(), depths(prediction & ~truth).round()
    label = int(missing.max() > too_much.max())
    depth = missing if label else too_much
    y, x = np.argwhere(depth == depth.max())[0]
    return Click(int(x), int(y), label)


@given(st.data())
def test_the_next_click(data):
    truth = data.draw(MASKS)
    prediction = data.draw(st.permutations(truth.ravel().tolist()).map(lambda v: np.reshape(v, truth.shape)))
    click = choose_click(truth, prediction)
    if (truth == prediction).all():
        assert click is None
        return
    assert click == by_definition(truth, prediction)
    assert truth[click.y, click.x] == click.label
    assert prediction[click.y, click.x] != click.label


@pytest.mark.parametrize("seed", range(4))
def test_clicks_in_large_masks(seed):
    truth, prediction = blobs(97, 130, seed=seed), blobs(97, 130, seed=seed + 50)
    assert choose_click(truth, prediction) == by_definition(truth, prediction)
    nothing = np.zeros_like(truth)
    assert choose_click(truth, nothing) == by_definition(truth, nothing)


def test_a_click_is_not_repeated():
    truth = np.zeros((9, 9), bool)
    truth[2:7, 2:7] = True
    nothing = np.zeros_like(truth)
    assert choose_click(truth, nothing) == Click(4, 4, 1)
    assert choose_click(truth, nothing, clicked=[(4, 4), (0, 0)]) == Click(3, 3, 1)
    assert choose_click(nothing, truth) == Click(4, 4, 0)
    one = np.zeros_like(truth)
    one[3, 5] = True
    assert choose_click(one, nothing, clicked=[(5, 3)]) is None


def test_of_equal_errors_what_is_too_much():
    truth, prediction = np.zeros((2, 3, 9), bool)
    truth[1, 1] = prediction[1, 6] = True
    assert choose_click(truth, prediction) == Click(6, 1, 0)


def test_other_arrays_are_refused():
    with pytest.raises(MaskError, match="of the same shape"):
        choose_click(np.zeros((3, 3), bool), np.zeros((3, 4), bool))
    with pytest.raises(MaskError, match="of the same shape"):
        choose_click(np.zeros((3, 3), bool), np.zeros((3, 3)))
