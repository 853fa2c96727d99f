"""Outlines enclose just the pixels of the mask."""

import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco
from scipy import ndimage

from densevit.masks import MaskError, signed_area, trace_polygons
from helpers.shapes import MASKS, blobs


def filled(rings: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """How often the rings run around each pixel: crossings to the left of its center, with their direction."""
    winding = np.zeros(shape, int)
    for ring in rings:
        for (x, y), (_, y_next) in zip(ring, np.roll(ring, -1, 0), strict=True):
            low, high = sorted((int(y), int(y_next)))
            winding[low:high, int(x) :] += 1 if y_next < y else -1
    return winding


@given(MASKS)
def test_rings_enclose_the_mask(mask):
    rings = trace_polygons(mask)
    np.testing.assert_array_equal(filled(rings, mask.shape), mask)
    assert sum(map(signed_area, rings)) == mask.sum()
    for ring in rings:
        steps = np.roll(ring, -1, 0) - ring
        # corners only: each step is along one axis, and the axes take turns
        assert ((steps != 0).sum(1) == 1).all()
        assert ((steps[:, 0] != 0) != np.roll(steps[:, 0] != 0, 1)).all()


@given(MASKS)
def test_one_ring_per_region_and_hole(mask):
    areas = [signed_area(ring) for ring in trace_polygons(mask)]
    assert sum(area > 0 for area in areas) == ndimage.label(mask)[1]
    # holes join across corners; the outside is one of the regions of what is outside
    outside = ndimage.label(~np.pad(mask, 1), np.ones((3, 3)))[1] - 1
    assert sum(area < 0 for area in areas) == outside


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' decode
@pytest.mark.parametrize("seed", range(4))
def test_pycocotools_draws_the_same(seed):
    mask = ndimage.binary_fill_holes(blobs(70, 90, seed=seed))
    rings = [ring.ravel().tolist() for ring in trace_polygons(mask) if signed_area(ring) > 0]
    drawn = coco.decode(coco.merge(coco.frPyObjects(rings, *mask.shape)))
    np.testing.assert_array_equal(drawn.astype(bool), mask)


def test_a_pixel_and_nothing():
    mask = np.zeros((3, 4), bool)
    assert trace_polygons(mask) == []
    mask[1, 2] = True
    (ring,) = trace_polygons(mask)
    np.testing.assert_array_equal(ring, [[2, 1], [3, 1], [3, 2], [2, 2]])


def test_other_arrays_are_refused():
    with pytest.raises(MaskError, match=r"bool \(H, W\)"):
        trace_polygons(np.zeros((3, 3)))
