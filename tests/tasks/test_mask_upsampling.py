"""Masks at the image's size, in windows, against the published two steps in PyTorch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from densevit.imaging import Size, SizePolicy
from densevit.tasks.mask_upsampling import MaskUpsampling

SIZES = [(480, 640), (683, 1024), (1500, 1000), (37, 50), (1024, 3), (1, 1), (300, 300), (2100, 700)]


def upsampling(size: tuple[int, int], long: int = 1024) -> tuple[MaskUpsampling, Size]:
    content = SizePolicy("long", (long,)).working_size(Size(*size))
    return MaskUpsampling(content, Size(*size)), content


def logits(seed: int, kind: str = "blobs") -> np.ndarray:
    generator = np.random.default_rng(seed)
    if kind == "noise":
        return generator.normal(size=(256, 256)).astype(np.float32)
    rows, columns = np.mgrid[:256, :256]
    field = np.full((256, 256), -6.0)
    for _ in range(generator.integers(1, 4)):
        y, x, radius = generator.uniform((0, 0, 0.3), (256, 256, 60))
        field = np.maximum(field, (radius - np.hypot(rows - y, columns - x)) * generator.uniform(0.1, 3))
    return field.clip(-6, 9).astype(np.float32)


def published(values: np.ndarray, content: Size, size: tuple[int, int]) -> np.ndarray:
    frame = F.interpolate(torch.from_numpy(values)[None, None], (1024, 1024), mode="bilinear")
    return F.interpolate(frame[..., : content.height, : content.width], size, mode="bilinear")[0, 0].numpy()


@pytest.mark.parametrize("kind", ["blobs", "noise"])
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_published_postprocessing(size, kind):
    enlarging, content = upsampling(size)
    values = logits(0, kind)
    np.testing.assert_allclose(enlarging.enlarge(values), published(values, content, size), atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6), st.sampled_from(SIZES), st.sampled_from([-1.0, 0.0, 2.5]), st.sampled_from([1024, 400])
)
def test_nothing_is_outside_the_window(seed, size, threshold, long):
    enlarging, _ = upsampling(size, long)
    values = logits(seed)
    expected = enlarging.enlarge(values) > threshold
    window = enlarging.above(values, threshold)
    found = np.zeros(size, bool)
    height, width = window.values.shape
    found[window.top : window.top + height, window.left : window.left + width] = window.values
    # sums in another order may differ in the last bit
    assert np.count_nonzero(found != expected) <= 2


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from(SIZES), st.floats(0, 2))
def test_stability_is_that_of_all_pixels(seed, size, offset):
    enlarging, _ = upsampling(size)
    values = logits(seed)
    whole = enlarging.enlarge(values)
    raised, lowered = np.count_nonzero(whole > offset), np.count_nonzero(whole > -offset)
    window, stability = enlarging.above_with_stability(values, offset)
    assert stability == pytest.approx(raised / lowered if lowered else 0, abs=2 / max(1, lowered))
    assert abs(np.count_nonzero(window.values) - np.count_nonzero(whole > 0)) <= 2


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10**6), st.sampled_from(SIZES), st.sampled_from(["blobs", "noise"]))
def test_bounds_hold_the_box(seed, size, kind):
    enlarging, _ = upsampling(size)
    values = logits(seed, kind)
    bounds = enlarging.box_bounds(values)
    if bounds is None:
        return
    inner, outer = bounds
    rows, columns = np.nonzero(enlarging.enlarge(values) > 0)
    box = columns.min(), rows.min(), columns.max(), rows.max()
    assert outer[0] <= box[0] <= inner[0]
    assert outer[1] <= box[1] <= inner[1]
    assert inner[2] <= box[2] <= outer[2]
    assert inner[3] <= box[3] <= outer[3]


def test_bounds_are_tight_for_large_masks():
    enlarging, _ = upsampling((683, 1024))
    values = np.full((256, 256), -3, np.float32)
    values[40:120, 30:200] = 3
    inner, outer = enlarging.box_bounds(values)
    assert max(abs(a - b) for a, b in zip(inner, outer, strict=True)) <= 12


def test_an_empty_mask():
    enlarging, _ = upsampling((90, 120))
    values = np.full((256, 256), -3, np.float32)
    assert enlarging.above(values).values.size == 0
    assert enlarging.above_with_stability(values, 1.0)[1] == 0
    assert enlarging.box_bounds(values) is None
