"""Size policies, resizing with padding, and the exact way back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.imaging import ImageError, Placement, Size, SizePolicy, resize, resize_and_pad
from helpers.images import make_noise

KINDS = ["cv2_cubic", "pil_bilinear", "pil_bicubic", "matlab_bicubic"]

sides = st.integers(1, 3000)
sizes = st.builds(Size, sides, sides)
policies = st.sampled_from(["native", "short:1", "short:360", "long:512", "long:1", "exact:224x320"])


@pytest.mark.parametrize("text", ["native", "short:360", "long:16384", "exact:1x16384"])
def test_policy_text_comes_back(text):
    assert str(SizePolicy.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "Native", "native:", "native:3", "wide:3", "short", "short:", "short:0", "short:-1"),
        *("short:16385", "short:3x4", "short:1.5", "short: 3", "short:3 ", "short:3\n", "long:x", "long:³"),
        *("exact:3", "exact:3x", "exact:x3", "exact:3x4x5", "exact:0x3", "exact:3x99999"),
    ],
)
def test_other_policy_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"allowed: native, short:S, long:S, short:S/M, long:S/M, exact:HxW"):
        SizePolicy.parse(text)


def test_policies_built_directly_are_checked_too():
    for kind, sides_px in (("short", ()), ("native", (3,)), ("exact", (3,)), ("other", ()), ("long", (0,))):
        with pytest.raises(ValueError, match="allowed: native"):
            SizePolicy(kind, sides_px)


@pytest.mark.parametrize(
    ("text", "image", "working"),
    [
        ("native", (720, 960), (720, 960)),
        ("short:360", (720, 960), (360, 480)),
        ("short:1024", (1024, 2048), (1024, 2048)),
        ("short:360", (1333, 1000), (480, 360)),
        ("long:512", (720, 960), (384, 512)),
        ("long:512", (10, 10_000), (1, 512)),
        ("short:3", (2, 3), (3, 5)),
        ("exact:224x320", (5, 7), (224, 320)),
    ],
)
def test_working_size(text, image, working):
    assert SizePolicy.parse(text).working_size(Size(*image)) == Size(*working)


@given(sizes, st.sampled_from(["short", "long"]), st.integers(1, 2000))
def test_working_size_keeps_the_aspect_within_rounding(image, kind, side):
    working = SizePolicy(kind, (side,)).working_size(image, max_pixels=10**12)
    assert side == (min(working) if kind == "short" else max(working))
    scale = side / (min(image) if kind == "short" else max(image))
    for before, after in zip(image, working, strict=True):
        assert after == 1 or abs(after - before * scale) <= 0.5 + 1e-6


def test_absurd_working_sizes_are_refused():
    policy = SizePolicy.parse("short:1024")
    with pytest.raises(ImageError, match=r"image of 10000 x 1 px: short:1024 would make it 10240000 x 1024 px"):
        policy.working_size(Size(1, 10_000))
    assert policy.working_size(Size(1, 100)) == Size(1024, 102_400)
    huge = Size(20_000, 20_000)  # who read that, with a higher limit, may also work at its size
    assert SizePolicy.parse("native").working_size(huge) == huge
    assert SizePolicy.parse("long:16384").working_size(huge) == Size(16_384, 16_384)


@given(
    sizes,
    policies,
    st.integers(1, 64),
    st.lists(st.tuples(st.floats(-10, 4000), st.floats(-10, 4000)), max_size=5),
)
def test_points_come_back(image, text, multiple, points):
    content = SizePolicy.parse(text).working_size(image, max_pixels=10**12)
    placement = Placement(image, content, Size(*(-(-side // multiple) * multiple for side in content)))
    array = np.array(points, np.float64).reshape(-1, 2)
    there = placement.points_to_tensor(array)
    np.testing.assert_allclose(placement.points_to_image(there), array, atol=1e-6)
    corner = placement.points_to_tensor([[image.width, image.height]])
    np.testing.assert_allclose(corner, [[content.width, content.height]])


def test_points_are_x_then_y():
    placement = Placement(Size(100, 400), Size(50, 100), Size(64, 128))
    np.testing.assert_array_equal(placement.points_to_tensor([(40, 10)]), [[10, 5]])
    np.testing.assert_array_equal(placement.points_to_image([(10, 5)]), [[40, 10]])
    for points in ([1, 2], [[1, 2, 3]], [[[1, 2]]]):
        with pytest.raises(ValueError, match=r"allowed: \(N, 2\)"):
            placement.points_to_tensor(points)


def test_scale_to_a_map():
    placement = Placement(Size(100, 400), Size(50, 100), Size(64, 128))
    assert placement.scale_to(Size(64, 128)) == (0.5, 0.25)
    assert placement.scale_to(Size(8, 16)) == (0.5 / 8, 0.25 / 8)


def test_impossible_placements_are_refused():
    for offset in ((0, 1), (1, 0), (0, -2)):
        with pytest.raises(ValueError, match="content within tensor or covering it"):
            Placement(Size(10, 10), Size(32, 33), Size(32, 32), offset)
    with pytest.raises(ValueError, match="content within tensor or covering it"):
        Placement(Size(10, 10), Size(10, 30), Size(32, 32), (0, -1))
    with pytest.raises(ValueError, match="at least 1"):
        Placement(Size(0, 10), Size(10, 10), Size(32, 32))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from(["native", "short:20", "long:41", "exact:33x17"]),
    st.integers(1, 40),
    st.sampled_from(KINDS),
    st.sampled_from(["edge", "zero"]),
    st.sampled_from([1, 3]),
)
def test_resize_and_pad_equals_resize_then_pad(height, width, text, multiple, kind, padding, channels):
    image = make_noise(height, width, channels)
    policy = SizePolicy.parse(text)
    fitted, placement = resize_and_pad(image, policy, multiple=multiple, kind=kind, padding=padding)
    content = policy.working_size(Size(height, width))
    assert placement.image == Size(height, width)
    assert placement.content == content
    assert placement.tensor == Size.of(fitted)
    assert all(side % multiple == 0 for side in placement.tensor)
    assert all(0 <= full - part < multiple for full, part in zip(placement.tensor, content, strict=True))
    extra = [(0, full - part) for full, part in zip(placement.tensor, content, strict=True)]
    extra += [(0, 0)] * (image.ndim - 2)
    mode = {"edge": "edge", "zero": "constant"}[padding]
    np.testing.assert_array_equal(fitted, np.pad(resize(image, content, kind), extra, mode=mode))


def test_resize_and_pad_does_not_copy_what_fits():
    image = make_noise(64, 96)
    fitted, placement = resize_and_pad(image, SizePolicy.parse("native"), multiple=32, kind="cv2_cubic")
    assert fitted is image
    assert placement == Placement(Size(64, 96), Size(64, 96), Size(64, 96))
    fitted, _ = resize_and_pad(image, SizePolicy.parse("short:64"), multiple=32, kind="cv2_cubic")
    assert fitted is image


def test_resize_and_pad_refuses_what_is_not_allowed():
    image, native = make_noise(4, 4), SizePolicy.parse("native")
    for options in ({"multiple": 0}, {"multiple": 4, "padding": "mirror"}):
        with pytest.raises(ValueError, match="allowed: 1 or more"):
            resize_and_pad(image, native, kind="cv2_cubic", **options)
    line = np.zeros((1, 100_000), np.uint8)  # padded to 32 rows it would be 32 times as large
    with pytest.raises(ImageError, match="too narrow"):
        resize_and_pad(line, native, multiple=32, kind="cv2_cubic", max_pixels=100_000)
    assert resize_and_pad(line, native, multiple=32, kind="cv2_cubic")[0].shape == (32, 100_000)


@pytest.mark.parametrize(
    ("image", "expected"),
    [((512, 683), (512, 704)), ((683, 512), (704, 512)), ((600, 600), (512, 512)), ((375, 500), (512, 704))],
)
def test_a_policy_with_a_multiple_rounds_the_other_side_up(image, expected):
    policy = SizePolicy.parse("short:512/32")
    assert str(policy) == "short:512/32"
    assert policy.working_size(Size(*image)) == expected
