"""Bicubic enlargement against `imaging.resize`, and that the network's own equals it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit import imaging
from densevit.imaging import Size, compute_phase_weights, enlarge


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_weights_sum_to_one(scale):
    np.testing.assert_allclose(compute_phase_weights(scale).sum(axis=1), 1, atol=1e-12)


@given(st.sampled_from([2, 3, 4]), st.integers(1, 12), st.integers(1, 12), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_equals_resize_but_for_its_rounding(scale, height, width, seed):
    # no extremes, for resize clips between its two passes
    image = np.random.default_rng(seed).integers(60, 190, (height, width, 3)).astype(np.uint8)
    expected = imaging.resize(image, Size(height * scale, width * scale), "matlab_bicubic").astype(float)
    assert np.abs(enlarge(image, scale) - expected).max() <= 1.2


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_networks_own_is_the_same(scale):
    torch = pytest.importorskip("torch")
    from densevit.models.super_resolution import enlarge as enlarge_tensor

    image = np.random.default_rng(0).random((9, 13, 3), np.float32)
    tensor = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    got = enlarge_tensor(tensor, scale)[0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(got, enlarge(image, scale), atol=1e-6)
