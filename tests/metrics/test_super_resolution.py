"""PSNR and SSIM on Y against their definitions, and against scikit-image where it is installed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.metrics import SuperResolutionScore, luma, psnr, ssim


def image(seed: int, height: int = 24, width: int = 31) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def near(reference: np.ndarray, seed: int, noise: float) -> np.ndarray:
    changed = reference + np.random.default_rng(seed).normal(0, noise, reference.shape)
    return changed.clip(0, 255).astype(np.uint8)


def ssim_by_definition(first: np.ndarray, second: np.ndarray) -> float:
    """Every position of an 11 x 11 window that lies inside, with the weights of a Gaussian of sigma 1.5."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for top in range(first.shape[0] - 10):
        for left in range(first.shape[1] - 10):
            x, y = (plane[top : top + 11, left : left + 11] for plane in (first, second))
            mean_x, mean_y = (window * x).sum(), (window * y).sum()
            var_x, var_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
            covariance = (window * (x - mean_x) * (y - mean_y)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append(
                (2 * mean_x * mean_y + c1)
                * (2 * covariance + c2)
                / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
            )
    return float(np.mean(values))


def test_luma_of_known_colors():
    colors = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(luma(colors)[0], [16, 235, 81.481, 144.553, 40.966], atol=1e-9)


@given(st.integers(0, 10_000), st.sampled_from([1.0, 10.0, 60.0]))
@settings(max_examples=15, deadline=None)
def test_both_equal_their_definitions(seed, noise):
    first = luma(image(seed))
    second = luma(near(image(seed), seed + 1, noise))
    error = ((first - second) ** 2).mean()
    assert psnr(first, second) == pytest.approx(20 * math.log10(255 / math.sqrt(error)), abs=1e-9)
    assert ssim(first, second) == pytest.approx(ssim_by_definition(first, second), abs=1e-9)


@pytest.mark.parametrize("noise", [2.0, 25.0])
def test_both_equal_scikit_image(noise):
    metrics = pytest.importorskip("skimage.metrics")
    first, second = luma(image(3, 80, 90)), luma(near(image(3, 80, 90), 4, noise))
    similarity = metrics.structural_similarity(
        first, second, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert psnr(first, second) == pytest.approx(
        metrics.peak_signal_noise_ratio(first, second, data_range=255), abs=1e-4
    )
    assert ssim(first, second) == pytest.approx(similarity, abs=1e-4)


class TestScore:
    def test_mean_over_images_with_the_border_left_out(self):
        score = SuperResolutionScore(border_px=2)
        expected = []
        for seed in range(3):
            target = image(seed)
            restored = near(target, seed, 8)
            # whatever happens in the border does not count
            restored[:2] = restored[-2:] = 0
            restored[:, :2] = restored[:, -2:] = 255
            score.update(restored, target)
            planes = [luma(part[2:-2, 2:-2]) for part in (restored, target)]
            expected.append((psnr(*planes), ssim(*planes)))
        scores = score.compute()
        assert scores["psnr_y"] == pytest.approx(np.mean([row[0] for row in expected]), abs=1e-8)
        assert scores["ssim_y"] == pytest.approx(np.mean([row[1] for row in expected]), abs=1e-8)

    def test_states_of_several_processes_add_up(self):
        whole = SuperResolutionScore(2)
        parts = [SuperResolutionScore(2), SuperResolutionScore(2)]
        for seed in range(4):
            pair = near(image(seed), seed, 8), image(seed)
            whole.update(*pair)
            parts[seed % 2].update(*pair)
        np.testing.assert_array_equal(parts[0].state() + parts[1].state(), whole.state())

    def test_a_perfect_image_counts_as_100_db(self):
        score = SuperResolutionScore(0)
        score.update(image(0), image(0))
        assert score.compute() == {"psnr_y": 100.0, "ssim_y": 1.0}

    def test_nothing_yet_is_not_a_number(self):
        score = SuperResolutionScore(2)
        score.update(image(0), image(0))
        score.reset()
        assert all(math.isnan(value) for value in score.compute().values())

    def test_refusals(self):
        score = SuperResolutionScore(2)
        with pytest.raises(ValueError, match="the image is"):
            score.update(image(0), image(0, 24, 30))
        with pytest.raises(ValueError, match="needs 15 pixels a side with a border of 2, got 31 x 14 px"):
            score.update(image(0, 14), image(0, 14))
        with pytest.raises(ValueError, match="border_px must not be negative"):
            SuperResolutionScore(-1)
        with pytest.raises(ValueError, match="SSIM needs 11 pixels"):
            ssim(np.zeros((10, 20)), np.zeros((10, 20)))
