"""Image, labels and maps stay on top of each other, whatever window is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.train.augment import (
    View,
    draw_view,
    jitter_color,
    sample_labels,
    sample_maps,
)

WHOLE = View(0, 0, 1, 1, False)
MIRRORED = View(0, 0, 1, 1, True)
IGNORE = 255


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image(height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator())


def labels(height: int, width: int) -> torch.Tensor:
    drawn = torch.randint(0, 12, (height, width), dtype=torch.uint8, generator=generator(1))
    return torch.where(drawn == 11, IGNORE, drawn)


@pytest.mark.parametrize("size", [(4, 6), (31, 17), (96, 64), (360, 480)])
def test_the_whole_image_at_its_size_is_the_image(size):
    source, target = image(*size), labels(*size)
    torch.testing.assert_close(sample_maps(source, WHOLE, size), source.float(), rtol=0, atol=0.05)
    assert torch.equal(sample_labels(target, WHOLE, size, ignore=IGNORE), target.long())
    maps = torch.randn(5, *size, generator=generator())
    torch.testing.assert_close(sample_maps(maps, WHOLE, size), maps, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [(4, 6), (31, 17), (96, 64), (360, 480)])
def test_mirrored_all_alike(size):
    source, target = image(*size), labels(*size)
    expected = source.float().flip(-1)
    torch.testing.assert_close(sample_maps(source, MIRRORED, size), expected, rtol=0, atol=0.05)
    assert torch.equal(sample_labels(target, MIRRORED, size, ignore=IGNORE), target.long().flip(-1))
    maps = torch.randn(5, *size, generator=generator())
    torch.testing.assert_close(sample_maps(maps, MIRRORED, size), maps.flip(-1), rtol=0, atol=1e-3)


def test_types():
    source = sample_maps(image(8, 8), WHOLE, (4, 4))
    assert (source.dtype, source.shape) == (torch.float32, (3, 4, 4))
    target = sample_labels(labels(8, 8), WHOLE, (2, 4), ignore=IGNORE)
    assert (target.dtype, target.shape) == (torch.int64, (2, 4))
    maps = sample_maps(torch.randn(2, 3, 3).half(), WHOLE, (4, 4))
    assert (maps.dtype, maps.shape) == (torch.float32, (2, 4, 4))


@pytest.mark.parametrize("flip", [False, True])
def test_a_window_is_a_crop(flip):
    source, target = image(40, 60), labels(40, 60)
    view = View(top=10 / 40, left=20 / 60, height=16 / 40, width=24 / 60, flip=flip)
    cut = source[:, 10:26, 20:44].float()
    cut = cut.flip(-1) if flip else cut
    torch.testing.assert_close(sample_maps(source, view, (16, 24)), cut, rtol=0, atol=0.05)
    expected = target[10:26, 20:44].long()
    expected = expected.flip(-1) if flip else expected
    assert torch.equal(sample_labels(target, view, (16, 24), ignore=IGNORE), expected)


@pytest.mark.parametrize("flip", [False, True])
def test_enlarged_is_bilinear_with_half_pixel_centers(flip):
    source = image(8, 10)
    view = View(0, 0, 1, 1, flip)
    expected = torch.nn.functional.interpolate(source[None].float(), size=(24, 20), mode="bilinear")[0]
    expected = expected.flip(-1) if flip else expected
    torch.testing.assert_close(sample_maps(source, view, (24, 20)), expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("flip", [False, True])
def test_beyond_the_image(flip):
    source, target = image(8, 8), labels(8, 8)
    target[target == IGNORE] = 0
    view = View(top=-0.5, left=-0.5, height=2, width=2, flip=flip)  # the image in the middle of 16 x 16
    cut = sample_labels(target, view, (16, 16), ignore=IGNORE)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 4:12] = True
    assert (cut[~inside] == IGNORE).all()
    assert torch.equal(cut[4:12, 4:12], (target.flip(-1) if flip else target).long())
    # the image's edges go on for ever
    expected = torch.nn.functional.pad(source[None].float(), (4, 4, 4, 4), mode="replicate")[0]
    expected = expected.flip(-1) if flip else expected
    torch.testing.assert_close(sample_maps(source, view, (16, 16)), expected, rtol=0, atol=0.05)


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(16, 60), st.integers(16, 60)),
    st.integers(1, 2),
)
@settings(max_examples=60, deadline=None)
def test_a_mark_lands_in_the_same_place(seed, size, stride):
    """A bright patch in image, labels and maps: where it shows in one, it shows in the others."""
    view = draw_view(size, (32, 48), scale=(0.7, 2.0), generator=generator(seed))
    place = np.random.default_rng(seed)
    row, column = place.integers(0, size[0] - 8), place.integers(0, size[1] - 8)
    source = torch.zeros(3, *size, dtype=torch.uint8)
    target = torch.zeros(size, dtype=torch.uint8)
    maps = torch.zeros(1, *size)
    for tensor, value in ((source, 255), (target, 1), (maps, 1.0)):
        tensor[..., row : row + 8, column : column + 8] = value
    seen = sample_maps(source, view, (32, 48))[0] / 255
    share = sample_maps(maps, view, (32, 48))[0]
    torch.testing.assert_close(seen, share, rtol=0, atol=1e-3)
    cut = sample_labels(target, view, (32 // stride, 48 // stride), ignore=IGNORE)
    inside = cut != IGNORE
    if stride == 1:
        # a nearest label is the one that weighs most in the bilinear mean, but where two weigh alike
        assert (cut[inside & (share > 0.76)] == 1).all()
        assert (cut[inside & (share < 0.24)] == 0).all()
    else:
        pooled = torch.nn.functional.avg_pool2d(share[None, None], 2)[0, 0]
        assert (cut[inside & (pooled > 0.999)] == 1).all()
        assert (cut[inside & (pooled < 0.001)] == 0).all()


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 100), st.integers(1, 100)),
    st.tuples(st.integers(1, 100), st.integers(1, 100)),
)
def test_windows_lie_in_the_image_or_around_it(seed, size, crop):
    view = draw_view(size, crop, scale=(0.5, 2.0), generator=generator(seed))
    for start, length, side, cut in (
        (view.top, view.height, size[0], crop[0]),
        (view.left, view.width, size[1], crop[1]),
    ):
        # pixels of the crop per pixel of the image
        assert 0.5 - 1e-9 <= cut / (length * side) <= 2 + 1e-9
        assert min(0, 1 - length) - 1e-9 <= start <= max(0, 1 - length) + 1e-9
    # squares stay squares
    assert view.height * size[0] / crop[0] == pytest.approx(view.width * size[1] / crop[1])


def test_views_vary_and_repeat():
    views = [draw_view((64, 64), (32, 32), scale=(0.5, 2), generator=generator(seed)) for seed in range(200)]
    again = [draw_view((64, 64), (32, 32), scale=(0.5, 2), generator=generator(seed)) for seed in range(200)]
    assert views == again
    assert 60 < sum(view.flip for view in views) < 140
    factors = [0.5 / view.height for view in views]
    # log-uniform: as many downscaled as enlarged
    assert 60 < sum(factor < 1 for factor in factors) < 140
    assert max(factors) > 1.8
    assert min(factors) < 0.55
    fixed = draw_view((64, 64), (32, 32), scale=(1, 1), generator=generator())
    assert fixed.height == pytest.approx(0.5)


def test_color():
    source = image(8, 8).float()
    kept = source.clone()
    torch.testing.assert_close(jitter_color(source, strength=0, generator=generator()), source, rtol=0, atol=1e-3)
    answers = [jitter_color(source, strength=0.5, generator=generator(seed)) for seed in range(20)]
    for answer in answers:
        assert answer.shape == source.shape
        assert answer.dtype == torch.float32
        assert answer.isfinite().all()
        assert answer.min() >= 0
        assert answer.max() <= 255
    assert torch.equal(answers[3], jitter_color(source, strength=0.5, generator=generator(3)))
    assert len({float(answer.mean()) for answer in answers}) == 20
    assert torch.equal(source, kept)


def test_gray_stays_gray():
    source = image(8, 8)[:1].float().expand(3, 8, 8)
    for seed in range(5):
        answer = jitter_color(source, strength=0.5, generator=generator(seed))
        torch.testing.assert_close(answer[0], answer[1], rtol=0, atol=1e-3)
        torch.testing.assert_close(answer[0], answer[2], rtol=0, atol=1e-3)
