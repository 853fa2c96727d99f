"""Each kind of resizing against its definition and the library that it is named after."""

import numpy as np
import pytest

from densevit.imaging import Size, resize
from helpers.images import make_noise

KINDS = ["cv2_cubic", "pil_bilinear", "pil_bicubic", "matlab_bicubic"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (40, 7), (17, 29), (20, 30)])
def test_resize_gives_the_size_and_keeps_constants(kind, channels, size):
    for value in (0, 7, 128, 255):
        image = np.full((20, 30, 3)[: 2 if channels == 1 else 3], value, np.uint8)
        resized = resize(image, Size(*size), kind)
        assert resized.dtype == np.uint8
        assert resized.shape == (*size, *image.shape[2:])
        assert (resized == value).all()


@pytest.mark.parametrize("kind", KINDS)
def test_resize_to_the_same_size_is_no_copy(kind):
    image = make_noise(5, 6)
    assert resize(image, Size(5, 6), kind) is image


@pytest.mark.parametrize("kind", KINDS)
def test_resize_treats_channels_and_axes_alike(kind):
    image = make_noise(20, 31)
    resized = resize(image, Size(13, 40), kind)
    for channel in range(3):
        np.testing.assert_array_equal(resize(image[..., channel], Size(13, 40), kind), resized[..., channel])
    turned = resize(image.transpose(1, 0, 2), Size(40, 13), kind).transpose(1, 0, 2)
    assert np.abs(turned.astype(int) - resized).max() <= 1  # rounding between the passes


def slow_cv2_cubic(row: np.ndarray, outputs: int) -> np.ndarray:
    """The definition of INTER_CUBIC along one axis, value by value in float64."""

    def weight(distance: float, a: float = -0.75) -> float:
        x = abs(distance)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    values = []
    for output in range(outputs):
        source = (output + 0.5) * len(row) / outputs - 0.5
        taps = range(int(np.floor(source)) - 1, int(np.floor(source)) + 3)
        values.append(sum(weight(source - tap) * row[min(max(tap, 0), len(row) - 1)] for tap in taps))
    return np.array(values)


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 32), (16, 9), (10, 3), (7, 20), (1, 4)])
def test_cv2_cubic_is_the_definition(inputs, outputs):
    row = make_noise(1, inputs, 1)[0]
    expected = np.floor(slow_cv2_cubic(row.astype(float), outputs) + 0.5).clip(0, 255)
    for image, size in ((row[None], Size(1, outputs)), (row[:, None], Size(outputs, 1))):
        resized = resize(image, size, "cv2_cubic").ravel()
        assert np.abs(resized - expected).max() <= 1
        assert (resized == expected).mean() > 0.9


def test_cv2_cubic_weights_of_doubling():
    # An impulse doubled shows the weights at distances 0.25, 0.75, 1.25 and 1.75 for a = -0.75.
    row = np.zeros((1, 9), np.uint8)
    row[0, 4] = 200
    weights = resize(row + 20, Size(1, 18), "cv2_cubic")[0, 4:14].astype(int) - 20
    expected = 200 * np.array([-0.03515625, -0.10546875, 0.26171875, 0.87890625])
    np.testing.assert_allclose(weights[1:5], np.maximum(expected, -20), atol=0.51)
    np.testing.assert_array_equal(weights[1:5], weights[5:9][::-1])


@pytest.mark.parametrize("size", [(64, 96), (23, 31), (48, 20), (100, 41)])
def test_cv2_cubic_equals_torch_bicubic(size):
    torch = pytest.importorskip("torch")
    image = make_noise(48, 64)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(tensor, size, mode="bicubic", align_corners=False)
    expected = expected[0].permute(1, 2, 0).numpy().clip(0, 255)
    resized = resize(image, Size(*size), "cv2_cubic")
    assert np.abs(resized - expected).max() < 0.51


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_matlab_bicubic_equals_torch_antialiased_bicubic_inside(factor):
    torch = pytest.importorskip("torch")
    image = make_noise(60, 72) // 2 + 64  # no overshoot: between the passes it is cut off here, not there
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    size = (60 // factor, 72 // factor)
    expected = torch.nn.functional.interpolate(tensor, size, mode="bicubic", antialias=True)
    expected = expected[0].permute(1, 2, 0).numpy().clip(0, 255)
    resized = resize(image, Size(*size), "matlab_bicubic")
    inside = np.s_[2:-2, 2:-2]  # borders differ: mirrored here, cut off there
    assert np.abs(resized[inside] - expected[inside]).max() <= 1.2  # 8 bits between the passes


def test_matlab_bicubic_mirrors_at_the_border():
    row = make_noise(1, 24, 1)
    mirrored = np.concatenate([row[:, ::-1], row, row[:, ::-1]], axis=1)
    for outputs in (6, 12, 48):
        alone = resize(row, Size(1, outputs), "matlab_bicubic")
        within = resize(mirrored, Size(1, 3 * outputs), "matlab_bicubic")[:, outputs : 2 * outputs]
        np.testing.assert_array_equal(alone, within)


def test_matlab_bicubic_halving_has_the_known_weights():
    # imresize([0 0 0 0 255 0 0 0 0 0], 0.5): the kernel 0.5 * cubic(0.5 * x) at odd distances / 2.
    row = np.zeros((1, 12), np.uint8)
    row[0, 4] = 255
    # Distances of sample 4 from the centers 0.5, 2.5, 4.5, 6.5 are 3.5, 1.5, 0.5 and 2.5 pixels.
    cubic = {0.25: 0.8671875, 0.75: 0.2265625, 1.25: -0.0703125, 1.75: -0.0234375}
    expected = [0.5 * 255 * cubic[distance] for distance in (1.75, 0.75, 0.25, 1.25)]
    resized = resize(row, Size(1, 6), "matlab_bicubic")[0, :4]
    np.testing.assert_allclose(resized, np.maximum(expected, 0), atol=0.51)


@pytest.mark.parametrize("kind", ["cv2_cubic", "matlab_bicubic"])
@pytest.mark.parametrize("height", [200, 33])
def test_strips_of_rows_leave_no_seam(kind, height):
    image = make_noise(90, 8000)  # wide: it takes several strips; eight columns of it take one
    wide, narrow = (resize(part, Size(height, part.shape[1]), kind) for part in (image, image[:, :8]))
    np.testing.assert_array_equal(wide[:, :8], narrow)


def test_resize_refuses_what_is_not_allowed():
    image = make_noise(4, 4)
    with pytest.raises(ValueError, match="allowed: cv2_cubic, pil_bilinear"):
        resize(image, Size(2, 2), "nearest")
    with pytest.raises(ValueError, match="at least 1 x 1"):
        resize(image, Size(0, 2), "cv2_cubic")
    for other in (image.astype(np.float32), image[..., :2], image[:0], image[None]):
        with pytest.raises(ValueError, match="image: got"):
            resize(other, Size(2, 2), "cv2_cubic")
