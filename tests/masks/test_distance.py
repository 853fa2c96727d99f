"""Distances equal scipy's."""

import numpy as np
import pytest
from hypothesis import given
from scipy import ndimage

from densevit.masks.distance import squared_distances
from helpers.shapes import MASKS, blobs


def depths(mask: np.ndarray) -> np.ndarray:
    return ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] ** 2


@given(MASKS)
def test_distances(mask):
    np.testing.assert_allclose(squared_distances(mask), depths(mask), rtol=1e-9)


@pytest.mark.parametrize(
    "mask",
    [
        *(blobs(97, 130, seed=seed) for seed in range(4)),
        np.random.default_rng(0).random((120, 90)) < 0.98,
        np.ones((1, 64), bool),
        np.ones((65, 1), bool),
        np.ones((150, 1100), bool),  # worked on in several parts
    ],
)
def test_distances_in_large_masks(mask):
    squared = squared_distances(mask)
    assert squared.shape == mask.shape
    np.testing.assert_array_equal(squared, depths(mask).round())
