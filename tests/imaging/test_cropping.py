"""The center crop of the published evaluations, against Pillow by their definition and against torchvision."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from densevit.imaging import ImageError, Placement, Size, center_crop
from helpers import tiny
from helpers.torchvision_shim import make_torchvision_importable

RATIOS = (0.95, 1.0, 0.875)


def cropped(image: np.ndarray, side: int, ratio: float) -> np.ndarray:
    return center_crop(image, Size(side, side), crop_ratio=ratio, kind="pil_bicubic")[0]


@pytest.fixture(scope="module")
def by_pillow():
    """Shorter side to ceil(side / ratio), aspect kept, bicubic, and the center of that (reference, section 5)."""

    def crop(image, side, ratio):
        image = Image.fromarray(image)
        short = math.ceil(side / ratio)
        width, height = (int(short * length / min(image.size)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = round((width - side) / 2), round((height - side) / 2)
        return np.asarray(image.crop((left, top, left + side, top + side)))

    return crop


@pytest.fixture(scope="module")
def by_torchvision():
    """The transforms of the official evaluation themselves; skips where torchvision is not installed."""
    make_torchvision_importable()
    try:
        from torchvision import transforms
    except ImportError:
        pytest.skip("torchvision is not installed")

    def crop(image, side, ratio):
        resize = transforms.Resize(math.ceil(side / ratio), transforms.InterpolationMode.BICUBIC)
        return np.asarray(transforms.Compose([resize, transforms.CenterCrop(side)])(Image.fromarray(image)))

    return crop


@pytest.fixture(params=["by_pillow", "by_torchvision"], scope="module")
def published(request):
    return request.getfixturevalue(request.param)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    side=st.integers(1, 130),
    ratio=st.sampled_from(RATIOS),
    gray=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_it_is_the_published_crop(published, height, width, side, ratio, gray):
    assume(max(height, width) <= 40 * min(height, width))
    image = tiny.image(height, width)
    image = image[..., 0].copy() if gray else image
    assert np.array_equal(cropped(image, side, ratio), published(image, side, ratio))


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("size", [(480, 640), (640, 480), (224, 224), (235, 236), (237, 300), (225, 1001), (7, 5)])
def test_it_is_the_published_crop_at_the_published_size(published, size, ratio):
    image = tiny.image(*size)
    assert np.array_equal(cropped(image, 224, ratio), published(image, 224, ratio))


@pytest.mark.parametrize(
    ("side", "ratio", "short"),
    [
        *((224, 0.95, 236), (256, 0.95, 270), (288, 0.95, 304)),
        *((224, 1.0, 224), (384, 1.0, 384), (224, 0.875, 256)),
    ],
)
def test_the_shorter_side_of_the_resized_image_is_rounded_up(side, ratio, short):
    for size, content in (((300, 400), (short, short * 4 // 3)), ((400, 300), (short * 4 // 3, short))):
        _, placement = center_crop(tiny.image(*size), Size(side, side), crop_ratio=ratio, kind="pil_bicubic")
        assert (placement.image, placement.content, placement.tensor) == (size, content, (side, side))


@pytest.mark.parametrize("kind", ["pil_bilinear", "pil_bicubic", "cv2_cubic"])
def test_the_kind_of_resizing_is_a_choice(kind):
    from densevit.imaging import resize

    image = tiny.image(50, 70)
    cut, _ = center_crop(image, Size(32, 32), crop_ratio=1.0, kind=kind)
    assert np.array_equal(cut, resize(image, Size(32, 44), kind)[:, 6:38])


def test_a_image_of_that_size_comes_back_as_it_is():
    image = tiny.image(64, 64)
    cut, placement = center_crop(image, Size(64, 64), crop_ratio=1.0, kind="pil_bicubic")
    assert np.array_equal(cut, image)
    assert placement == Placement(Size(64, 64), Size(64, 64), Size(64, 64))


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    size=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    ratio=st.sampled_from(RATIOS),
)
@settings(max_examples=60, deadline=None)
def test_any_size_is_covered_from_the_center(height, width, size, ratio):
    assume(max(height, width) <= 30 * min(height, width))
    assume(max(size) <= 30 * min(size))
    cut, placement = center_crop(tiny.image(height, width), Size(*size), crop_ratio=ratio, kind="pil_bicubic")
    assert cut.shape == (*size, 3)
    assert cut.dtype == np.uint8
    assert cut.flags.c_contiguous
    covered = [math.ceil(side / ratio) for side in size]
    assert all(content >= side for content, side in zip(placement.content, covered, strict=True))
    assert any(content == side for content, side in zip(placement.content, covered, strict=True))
    # aspect kept within the pixel that is rounded away
    vertical, horizontal = (
        content / side for content, side in zip(placement.content, (height, width), strict=True)
    )
    assert abs(vertical - horizontal) <= max(1 / height, 1 / width) + 1e-9


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    size=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    ratio=st.sampled_from(RATIOS),
)
@settings(max_examples=60, deadline=None)
def test_points_go_there_and_back(height, width, size, ratio):
    assume(max(height, width) <= 30 * min(height, width))
    assume(max(size) <= 30 * min(size))
    _, placement = center_crop(
        np.zeros((height, width), np.uint8), Size(*size), crop_ratio=ratio, kind="pil_bicubic"
    )
    points = np.array([[0, 0], [width, height], [0.25 * width, 0.75 * height], [1.5, 0.5]])
    there = placement.points_to_tensor(points)
    assert placement.points_to_image(there) == pytest.approx(points, abs=1e-6)
    # the whole image reaches beyond the crop, or ends with it, on every side
    assert (there[0] <= 1e-6).all()
    assert (there[1] >= np.array(size[::-1]) - 1e-6).all()
    (center,) = placement.points_to_tensor([[width / 2, height / 2]])
    assert np.abs(center - np.array(size[::-1]) / 2).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize(("height", "width"), [(120, 200), (200, 120), (61, 60)])
def test_what_lies_somewhere_is_where_the_placement_says(height, width, ratio):
    size = Size(64, 96)
    for x, y in ((width // 2 + 7, height // 2 - 5), (width // 2 - 11, height // 2 + 9)):
        image = np.zeros((height, width), np.uint8)
        image[y - 2 : y + 2, x - 2 : x + 2] = 200
        cut, placement = center_crop(image, size, crop_ratio=ratio, kind="pil_bilinear")
        rows, columns = np.mgrid[: size.height, : size.width] + 0.5
        weights = cut / cut.sum(dtype=float)
        seen = [(columns * weights).sum(), (rows * weights).sum()]
        assert placement.points_to_tensor([[x, y]])[0] == pytest.approx(seen, abs=0.25)


# --- refusals


@pytest.mark.parametrize("ratio", [0, -0.5, 1.0001, 2, math.nan, math.inf, -math.inf])
def test_other_ratios_are_refused(ratio):
    with pytest.raises(ValueError, match=r"crop_ratio: got .*; allowed: above 0, at most 1"):
        center_crop(tiny.image(20, 20), Size(16, 16), crop_ratio=ratio, kind="pil_bicubic")


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((0, 20, 3), np.uint8),
        np.zeros(20, np.uint8),
    ],
)
def test_other_images_are_refused(image):
    with pytest.raises(ValueError, match="image: got"):
        center_crop(image, Size(16, 16), crop_ratio=1.0, kind="pil_bicubic")


def no_resizing(*arguments, **options):
    raise AssertionError("the resized image was made after all")


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (1, 20_000, 3)])
def test_strips_are_refused_before_they_are_resized(monkeypatch, shape):
    monkeypatch.setattr(Image.Image, "resize", no_resizing)
    with pytest.raises(
        ImageError, match=r"(1 x 20000|20000 x 1) px: covering 224 x 224 px would make it .*crop it"
    ):
        center_crop(np.zeros(shape, np.uint8), Size(224, 224), crop_ratio=0.95, kind="pil_bicubic")


def test_the_limit_is_on_the_resized_image():
    def crop(image: np.ndarray, max_pixels: int):
        return center_crop(image, Size(50, 50), crop_ratio=1.0, kind="pil_bicubic", max_pixels=max_pixels)[
            1
        ].content

    image = tiny.image(20, 40)
    assert crop(image, 50 * 100) == (50, 100)
    with pytest.raises(ImageError, match="100 x 50 px, more than 4,999 pixels"):
        crop(image, 50 * 100 - 1)
    # what becomes smaller was already there
    assert crop(tiny.image(100, 200), 1) == (50, 100)
