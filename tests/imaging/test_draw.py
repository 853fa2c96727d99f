"""Colors, overlays and legends against the formulas that their docstrings state."""

import numpy as np
import pytest

from densevit.imaging import draw

PALETTE = np.array([[255, 0, 0], [0, 255, 0], [10, 20, 30]], np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_colorize_gives_each_label_its_color_and_void_black(dtype):
    labels = np.array([[0, 1, 2], [2, 3, 255]], dtype)
    expected = [[PALETTE[0], PALETTE[1], PALETTE[2]], [PALETTE[2], [0, 0, 0], [0, 0, 0]]]
    colored = draw.colorize(labels, PALETTE)
    assert colored.dtype == np.uint8
    np.testing.assert_array_equal(colored, expected)


def test_colorize_takes_negative_labels_and_palettes_of_more_than_256_rows():
    palette = draw.make_palette(400)
    colored = draw.colorize(np.array([[-1, 399, 400, 70_000]]), palette)
    np.testing.assert_array_equal(colored, [[[0, 0, 0], palette[399], [0, 0, 0], [0, 0, 0]]])


@pytest.mark.parametrize("labels", [np.zeros((2, 2)), np.zeros((2, 2, 1), np.uint8), np.zeros(3, np.uint8)])
def test_colorize_refuses_other_label_maps(labels):
    with pytest.raises(ValueError, match="labels: got"):
        draw.colorize(labels, PALETTE)


@pytest.mark.parametrize("palette", [PALETTE.astype(int), PALETTE[:0], PALETTE[:, :2], PALETTE[0]])
def test_colorize_refuses_other_palettes(palette):
    with pytest.raises(ValueError, match="palette: got"):
        draw.colorize(np.zeros((2, 2), np.uint8), palette)


@pytest.mark.parametrize("opacity", [0, 0.25, 0.5, 0.8, 1])
def test_overlay_is_the_stated_mixture(opacity):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    image[0] = 255
    labels = random.integers(0, 4, (40, 30), dtype=np.uint8)
    mixed = draw.overlay(image, labels, PALETTE, opacity=opacity)
    expected = image * (1.0 - opacity) + draw.colorize(labels, PALETTE) * opacity
    assert mixed.dtype == np.uint8
    assert np.abs(mixed - expected).max() <= 1  # opacity has steps of 1/256


def test_overlay_keeps_image_and_colors_at_the_ends_and_its_inputs():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    before = image.copy()
    labels = np.array([[0, 1, 2], [0, 1, 255]], np.uint8)
    np.testing.assert_array_equal(draw.overlay(image, labels, PALETTE, opacity=0), image)
    colors = draw.colorize(labels, PALETTE)
    np.testing.assert_array_equal(draw.overlay(image, labels, PALETTE, opacity=1), colors)
    np.testing.assert_array_equal(image, before)


def test_overlay_refuses_other_sizes_and_opacities():
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="labels: got shape"):
        draw.overlay(image, np.zeros((5, 4), np.uint8), PALETTE)
    for opacity in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="opacity: got"):
            draw.overlay(image, np.zeros((4, 5), np.uint8), PALETTE, opacity=opacity)
    with pytest.raises(ValueError, match="image: got"):
        draw.overlay(image[..., 0], np.zeros((4, 5), np.uint8), PALETTE)


def test_side_by_side_aligns_tops_on_white():
    left = np.full((4, 3, 3), 10, np.uint8)
    right = np.full((6, 2, 3), 20, np.uint8)
    both = draw.side_by_side(left, right, gap_px=5)
    assert both.shape == (6, 10, 3)
    np.testing.assert_array_equal(both[:4, :3], left)
    np.testing.assert_array_equal(both[:, 8:], right)
    assert (both[:, 3:8] == 255).all()
    assert (both[4:, :3] == 255).all()
    assert draw.side_by_side(left, right, gap_px=0).shape == (6, 5, 3)
    with pytest.raises(ValueError, match="gap_px"):
        draw.side_by_side(left, right, gap_px=-1)


def test_default_palette_is_stable_and_distinct():
    palette = draw.make_palette(1000)
    assert palette.shape == (1000, 3)
    assert palette.dtype == np.uint8
    assert len(np.unique(palette, axis=0)) == 1000
    assert palette.max(axis=1).min() > 100, "none is black, which stands for void"
    np.testing.assert_array_equal(draw.make_palette(19), palette[:19])
    with pytest.raises(ValueError, match="classes"):
        draw.make_palette(0)


@pytest.mark.parametrize(("classes", "distance"), [(11, 50), (19, 40), (32, 25), (150, 15), (256, 12)])
def test_default_palette_keeps_colors_apart(classes, distance):
    palette = draw.make_palette(classes).astype(float)
    distances = np.linalg.norm(palette[:, None] - palette[None], axis=-1)
    assert distances[~np.eye(classes, dtype=bool)].min() >= distance


def test_legend_shows_each_color_in_its_row():
    names = ["road", "a much longer name of a class", "two\nlines", "天空"]
    palette = draw.make_palette(19)
    image = draw.draw_legend(names, palette, row_px=24)
    assert image.dtype == np.uint8
    assert image.shape[0] == 24 * len(names)
    for row, color in enumerate(palette[: len(names)]):
        band = image[row * 24 : (row + 1) * 24]
        np.testing.assert_array_equal(band[12, 12], color)
        assert (band[:, 48:].min(axis=(0, 2)) < 128).any(), "a name beside the swatch"
        assert (band[:, -4:] == 255).all(), "and room to its right"
    assert draw.draw_legend(["road"], palette, row_px=8).shape[0] == 8


def test_legend_refuses_wrong_counts():
    for names in ([], ["a", "b", "c", "d"]):
        with pytest.raises(ValueError, match="names: got"):
            draw.draw_legend(names, PALETTE)
    with pytest.raises(ValueError, match="row_px"):
        draw.draw_legend(["a"], PALETTE, row_px=4)


def test_legend_cuts_long_names_short():
    long = draw.draw_legend(["x" * 1000], PALETTE)
    assert long.shape[1] < draw.draw_legend(["x" * 41], PALETTE).shape[1] + 24


@pytest.mark.parametrize(
    ("size", "classes"), [((480, 640), 11), ((480, 640), 150), ((1, 1), 1), ((20, 500), 150), ((4000, 300), 19)]
)
def test_add_legend_shows_the_image_and_each_color(size, classes):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    palette = draw.make_palette(200)
    names = [f"class {index}" for index in range(classes)]
    with_legend = draw.add_legend(image, names, palette)
    assert with_legend.dtype == np.uint8
    np.testing.assert_array_equal(with_legend[: size[0], : size[1]], image)
    legend = with_legend[:, size[1] :]
    assert (with_legend[size[0] :, : size[1]] == 255).all(), "white below a low image"
    shown = {tuple(color) for color in legend.reshape(-1, 3).tolist()}
    assert {tuple(color) for color in palette[:classes].tolist()} <= shown


def test_add_legend_goes_on_in_columns_and_grows_with_the_image():
    names, palette = [f"class {index}" for index in range(150)], draw.make_palette(150)
    high = draw.add_legend(np.zeros((720, 1280, 3), np.uint8), names, palette)
    assert high.shape[0] == 720, "no higher than the image"
    assert high.shape[1] < 1280 * 3
    low = draw.add_legend(np.zeros((10, 10, 3), np.uint8), names, palette)
    assert low.shape[0] <= 16 * 12
    small, large = (
        draw.add_legend(np.zeros((side, 1, 3), np.uint8), ["road"], palette).shape[1] for side in (400, 2000)
    )
    assert large > 4 * small


def test_add_legend_refuses_what_it_cannot_draw():
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="names: got 0 for 3 colors"):
        draw.add_legend(image, [], PALETTE)
    with pytest.raises(ValueError, match="image: got"):
        draw.add_legend(image[..., 0], ["road"], PALETTE)
