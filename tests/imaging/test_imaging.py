"""Reading survives anything a disk holds; resizing, fitting and saving do what their docstrings state."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from densevit.imaging import (
    ImageError,
    Placement,
    Size,
    SizePolicy,
    read,
    resampling,
    resize,
    resize_and_pad,
    save,
)

KINDS = ["cv2_cubic", "pil_bilinear", "pil_bicubic", "matlab_bicubic"]
ORIENTATION = 0x0112


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: np.ndarray | Image.Image, file_format: str, **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def written(folder: Path, content: bytes, name: str = "image.bin") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def png(width: int, height: int, bit_depth: int, color_type: int, rows: bytes) -> bytes:
    """A PNG file by hand, for what Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def refusal(source, **options) -> str:
    """The message with which a source is refused, held to what every message must be."""
    with pytest.raises(ImageError) as caught:
        read(source, **options)
    message = str(caught.value)
    assert message.isprintable(), "one line"
    assert ": " in message, "a name, then the problem"
    assert ";" in message, "and the remedy"
    return message


# Reading what is an image


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_come_back_exactly(tmp_path, file_format):
    image = noise(7, 11)
    path = written(tmp_path, encoded(image, file_format), "any.suffix")
    for source in (path, str(path)):
        result = read(source)
        assert result.dtype == np.uint8
        assert result.flags.c_contiguous
        assert result.flags.writeable
        np.testing.assert_array_equal(result, image)
    np.testing.assert_array_equal(read(Image.fromarray(image)), image)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
def test_lossy_files_come_back_as_pillow_decodes_them(tmp_path, file_format):
    content = encoded(noise(7, 11), file_format)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(read(written(tmp_path, content)), expected)


def test_a_jpeg_of_two_images_gives_the_first(tmp_path):
    content = encoded(
        Image.new("RGB", (8, 8), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))]
    )
    assert read(written(tmp_path, content))[0, 0, 0] > 200


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(tmp_path, file_format):
    frames = [Image.new("RGB", (9, 5), color) for color in ("red", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    result = read(written(tmp_path, content))
    np.testing.assert_array_equal(result, np.broadcast_to(np.uint8([255, 0, 0]), (5, 9, 3)))


def test_one_pixel(tmp_path):
    assert read(written(tmp_path, encoded(noise(1, 1), "PNG"))).shape == (1, 1, 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV"])
def test_modes_convert_as_pillow_does(mode):
    image = Image.fromarray(noise(6, 5)).convert(mode)
    np.testing.assert_array_equal(read(image), np.array(image.convert("RGB")))


def test_cmyk_jpeg_keeps_its_colors(tmp_path):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    result = read(written(tmp_path, encoded(red, "JPEG")))
    assert np.abs(result.astype(int) - [255, 0, 0]).max() < 8


def test_16_bit_gray_is_scaled_not_clipped(tmp_path):
    values = np.array([[0, 128, 129, 257, 1000, 32_768, 65_406, 65_407, 65_535]], np.uint16)
    expected = np.repeat(np.rint(values[..., None] / 257).astype(np.uint8), 3, axis=2)
    sources = [
        written(tmp_path, encoded(values, "PNG"), "gray.png"),
        written(tmp_path, encoded(values, "TIFF"), "little.tif"),
        Image.fromarray(values.astype(np.int32)),
        Image.frombytes("I;16B", (9, 1), values.astype(">u2").tobytes()),
    ]
    for source in sources:
        np.testing.assert_array_equal(read(source), expected)


def test_16_bit_color_png_is_read(tmp_path):
    values = np.array([[[0, 32_768, 65_535], [257, 514, 40_000]]], ">u2")
    path = written(tmp_path, png(2, 1, 16, 2, b"\0" + values.tobytes()))
    assert np.abs(read(path) - values / 257).max() <= 1


def test_transparency_lies_over_white(tmp_path):
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    expected = [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]]
    np.testing.assert_array_equal(read(rgba), expected)
    np.testing.assert_array_equal(read(written(tmp_path, encoded(rgba, "PNG"))), expected)
    np.testing.assert_array_equal(read(Image.new("LA", (1, 1), (7, 0))), [[[255, 255, 255]]])
    np.testing.assert_array_equal(read(Image.new("LA", (1, 1), (7, 255))), [[[7, 7, 7]]])


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_transparent_palette_colors_lie_over_white(tmp_path, transparency):
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([9, 8, 7, 6, 5, 4])
    path = written(tmp_path, encoded(image, "PNG", transparency=transparency))
    np.testing.assert_array_equal(read(path), [[[9, 8, 7], [255, 255, 255]]])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(tmp_path, orientation, file_format):
    # Quadrants: red and green over blue and white.
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24], upright[:16, 24:] = (255, 0, 0), (0, 255, 0)
    upright[16:, :24], upright[16:, 24:] = (0, 0, 255), (255, 255, 255)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(file_format, {})
    content = encoded(np.ascontiguousarray(stored), file_format, exif=exif, **options)
    result = read(written(tmp_path, content))
    assert result.shape == upright.shape
    assert np.abs(result.astype(int) - upright).max() < 10


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_hide_the_image(tmp_path):
    content = encoded(noise(8, 8), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    assert read(written(tmp_path, content)).shape == (8, 8, 3)


def test_arrays():
    image = noise(4, 5)
    assert read(image) is image
    np.testing.assert_array_equal(read(image[:, ::2]), image[:, ::2])
    assert read(image[:, ::2]).flags.c_contiguous
    gray = noise(4, 5, 1)
    for array in (gray, gray[..., None]):
        np.testing.assert_array_equal(read(array), np.stack([gray] * 3, axis=2))


# Reading what is none


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5, 3)),
        np.zeros((4, 5, 3), np.uint16),
        np.zeros((4, 5, 3), bool),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((1, 4, 5, 3), np.uint8),
        np.zeros((4, 5, 2), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros(5, np.uint8),
        np.zeros((), np.uint8),
    ],
)
def test_other_arrays_are_refused(array):
    message = refusal(array)
    assert message.startswith("array: got")
    assert "allowed: uint8 (H, W, 3)" in message


@pytest.mark.parametrize("source", [None, 3, b"street.jpg", [noise(2, 2)]])
def test_other_types_are_refused(source):
    assert "allowed: a path, a PIL image or a numpy array" in refusal(source)


def test_what_a_path_may_lead_to(tmp_path):
    image = written(tmp_path, encoded(noise(4, 4), "PNG"), "image.png")
    assert "missing.png: no such file" in refusal(tmp_path / "missing.png")
    assert "no such file" in refusal(image / "below.png")
    assert "is a folder" in refusal(tmp_path)
    assert "is empty" in refusal(written(tmp_path, b"", "empty.png"))
    assert "known format (JPEG, PNG" in refusal(written(tmp_path, b"hello", "text.png"))
    assert "known format" in refusal(written(tmp_path, b"%!PS-Adobe-3.0 EPSF-3.0\n", "figure.eps"))
    assert "no such file" in refusal("-")
    assert "cannot be read" in refusal("a\0b.png")
    assert "cannot be read" in refusal("a" * 5000)
    refusal(tmp_path / "two\nlines.png")
    refusal(os.fsdecode(b"\xff.png"))


@pytest.mark.parametrize("url", ["https://example.org/street.jpg", "s3://bucket/street.jpg"])
def test_urls_are_to_be_downloaded_first(url):
    assert "download it first" in refusal(url)
    assert "download it first" in refusal(Path(url))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_permission_denied(tmp_path, monkeypatch):
    path = written(tmp_path, encoded(noise(4, 4), "PNG"))

    def denied(*_):  # a test may run as root, to whom no file is closed
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "permission denied" in refusal(path)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_truncated_files_are_refused(tmp_path, file_format):
    content = encoded(noise(64, 64), file_format)
    for length in (1, 8, 20, len(content) // 2):
        message = refusal(written(tmp_path, content[:length], "cut.bin"))
        assert "cut.bin" in message


def test_unknown_ranges_are_refused():
    assert "floating-point" in refusal(Image.fromarray(np.zeros((2, 2), np.float32)))
    assert "0 to 65536, allowed 0 to 65535" in refusal(Image.fromarray(np.array([[0, 65_536]], np.int32)))
    assert "-1 to 0" in refusal(Image.fromarray(np.array([[-1, 0]], np.int32)))


def test_closed_and_empty_pillow_images_are_refused(tmp_path):
    with Image.open(written(tmp_path, encoded(noise(4, 4), "PNG"))) as image:
        pass
    assert refusal(image).startswith("PIL image: ")
    assert "no pixels" in refusal(Image.new("RGB", (0, 4)))


def test_max_pixels_is_checked_before_decoding(tmp_path):
    image = Image.fromarray(noise(10, 20))
    path = written(tmp_path, encoded(image, "PNG"))
    assert read(path, max_pixels=200).shape == (10, 20, 3)
    for source in (path, image):
        assert "10 x 20 = 200 pixels, allowed 199" in refusal(source, max_pixels=199)
    # 10 gigapixels in a few bytes: decoding would take 30 GB.
    assert "too large" in refusal(written(tmp_path, png(100_000, 100_000, 8, 2, b"")))


def test_pillows_own_limits_stay_out_of_the_way(tmp_path, monkeypatch):
    formats = ["PNG", "JPEG", "BMP", "PPM", "GIF"]
    for limit, also in (
        (150, ["TIFF", "WEBP"]),
        (10, []),
    ):  # of 200 pixels Pillow warns, then calls them a bomb
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        for file_format in formats + also:
            path = written(tmp_path, encoded(noise(10, 20), file_format))
            assert read(path).shape == (10, 20, 3)


def test_strange_tiff_tags_are_survived(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ORIENTATION] = 77
    path = written(tmp_path, encoded(noise(4, 6), "TIFF", tiffinfo=tags))
    assert read(path).shape == (4, 6, 3)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much in damaged files; raised, that would hide errors
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_damaged_files_give_an_array_or_a_image_error(tmp_path, file_format):
    random = np.random.default_rng(0)
    smooth = Image.fromarray(noise(3, 4)).resize((40, 30))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    options = {"exif": exif} if file_format in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    valid = np.frombuffer(encoded(smooth, file_format, **options), np.uint8)
    outcomes = {"read": 0, "refused": 0}
    for case in range(150):
        damaged = valid.copy()
        # Half of the damage goes to the header, where it does most.
        reach = len(valid) if case % 2 else min(200, len(valid))
        flips = random.integers(0, reach, random.integers(1, 8))
        damaged[flips] = random.integers(0, 256, len(flips))
        if case % 3 == 0:
            damaged = damaged[: random.integers(1, len(valid))]
        path = written(tmp_path, damaged.tobytes())
        try:
            result = read(path, max_pixels=1_000_000)
        except ImageError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            assert result.dtype == np.uint8
            assert result.ndim == 3
    assert outcomes["refused"] > 10
    assert outcomes["read"] > 0


# Resizing


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
    image = noise(5, 6)
    assert resize(image, Size(5, 6), kind) is image


@pytest.mark.parametrize("kind", KINDS)
def test_resize_treats_channels_and_axes_alike(kind):
    image = noise(20, 31)
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
    row = noise(1, inputs, 1)[0]
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
    image = noise(48, 64)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(tensor, size, mode="bicubic", align_corners=False)
    expected = expected[0].permute(1, 2, 0).numpy().clip(0, 255)
    resized = resize(image, Size(*size), "cv2_cubic")
    assert np.abs(resized - expected).max() < 0.51


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_matlab_bicubic_equals_torch_antialiased_bicubic_inside(factor):
    torch = pytest.importorskip("torch")
    image = noise(60, 72) // 2 + 64  # no overshoot: between the passes it is cut off here, not there
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    size = (60 // factor, 72 // factor)
    expected = torch.nn.functional.interpolate(tensor, size, mode="bicubic", antialias=True)
    expected = expected[0].permute(1, 2, 0).numpy().clip(0, 255)
    resized = resize(image, Size(*size), "matlab_bicubic")
    inside = np.s_[2:-2, 2:-2]  # borders differ: mirrored here, cut off there
    assert np.abs(resized[inside] - expected[inside]).max() <= 1.2  # 8 bits between the passes


def test_matlab_bicubic_mirrors_at_the_border():
    row = noise(1, 24, 1)
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
def test_strips_of_rows_leave_no_seam(monkeypatch, kind):
    image = noise(90, 40)
    for size in (Size(200, 31), Size(33, 80)):
        whole = resize(image, size, kind)
        with monkeypatch.context() as patch:
            patch.setattr(resampling, "_STRIP_PIXELS", 300)
            np.testing.assert_array_equal(resize(image, size, kind), whole)


def test_resize_refuses_what_is_not_allowed():
    image = noise(4, 4)
    with pytest.raises(ValueError, match="allowed: cv2_cubic, pil_bilinear"):
        resize(image, Size(2, 2), "nearest")
    with pytest.raises(ValueError, match="at least 1 x 1"):
        resize(image, Size(0, 2), "cv2_cubic")
    for other in (image.astype(np.float32), image[..., :2], image[:0], image[None]):
        with pytest.raises(ValueError, match="image: got"):
            resize(other, Size(2, 2), "cv2_cubic")


# Sizes, placement, fitting

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


def test_policies_made_by_hand_are_held_to_the_same():
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
    with pytest.raises(ImageError, match=r"image of 1 x 10000: short:1024 would make it 1024 x 10240000"):
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
def test_fit_pads_the_resized_image(height, width, text, multiple, kind, padding, channels):
    image = noise(height, width, channels)
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


def test_fit_does_not_copy_what_fits():
    image = noise(64, 96)
    fitted, placement = resize_and_pad(image, SizePolicy.parse("native"), multiple=32, kind="cv2_cubic")
    assert fitted is image
    assert placement == Placement(Size(64, 96), Size(64, 96), Size(64, 96))
    fitted, _ = resize_and_pad(image, SizePolicy.parse("short:64"), multiple=32, kind="cv2_cubic")
    assert fitted is image


def test_fit_refuses_what_is_not_allowed():
    image, native = noise(4, 4), SizePolicy.parse("native")
    for options in ({"multiple": 0}, {"multiple": 4, "padding": "mirror"}):
        with pytest.raises(ValueError, match="allowed: 1 or more"):
            resize_and_pad(image, native, kind="cv2_cubic", **options)
    line = np.zeros((1, 100_000), np.uint8)  # padded to 32 rows it would be 32 times as large
    with pytest.raises(ImageError, match="too narrow"):
        resize_and_pad(line, native, multiple=32, kind="cv2_cubic", max_pixels=100_000)
    assert resize_and_pad(line, native, multiple=32, kind="cv2_cubic")[0].shape == (32, 100_000)


# Saving


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_save_then_read(tmp_path, suffix, channels):
    image = noise(9, 7, channels)
    path = tmp_path / f"image{suffix}"
    save(image, path)
    save(image, str(path))  # replaces
    np.testing.assert_array_equal(read(path), read(image))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_save_lossy(tmp_path, suffix):
    image = resize(noise(3, 4), Size(30, 40), "pil_bicubic")
    save(image, tmp_path / f"image{suffix}")
    assert np.abs(read(tmp_path / f"image{suffix}").astype(int) - image).mean() < 4


def test_save_keeps_16_bit_labels(tmp_path):
    labels = np.array([[0, 1, 300, 65_535]], np.uint16)
    save(labels, tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as image:
        np.testing.assert_array_equal(np.array(image), labels)


@pytest.mark.parametrize("colors", [1, 2, 11, 19, 256])
def test_save_with_a_palette_keeps_labels_and_void(tmp_path, colors):
    labels = np.array([[0, min(1, colors - 1), colors - 1, 255]], np.uint8)
    palette = noise(colors, 3, 1)
    save(labels, tmp_path / "labels.png", palette=palette)
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), labels)
    void = [0, 0, 0] if colors < 256 else palette[255]
    np.testing.assert_array_equal(read(tmp_path / "labels.png")[0, 2:], [palette[-1], void])


def test_saved_files_have_ordinary_permissions(tmp_path):
    save(noise(2, 2), tmp_path / "image.png")
    ordinary = written(tmp_path, b"")
    assert (tmp_path / "image.png").stat().st_mode == ordinary.stat().st_mode


def test_save_refuses_what_it_cannot_write(tmp_path):
    image, labels = noise(4, 4), noise(4, 4, 1)
    palette = noise(3, 3, 1)
    cases = [
        (image, "image.gif", None, "allowed: .png, .jpg"),
        (image, "image", None, "got suffix ''"),
        (image.astype(np.float32), "image.png", None, "image: got float32"),
        (labels.astype(np.uint16), "labels.jpg", None, "image: got uint16"),
        (labels, "labels.jpg", palette, "a palette needs"),
        (image, "labels.png", palette, "a palette needs"),
        (labels.astype(np.uint16), "labels.png", palette, "a palette needs"),
        (labels, "labels.png", noise(257, 3, 1), "N at most 256"),
        (labels, "labels.png", palette.astype(int), "palette: got int64"),
    ]
    for array, name, colors, message in cases:
        with pytest.raises(ValueError, match=message):
            save(array, tmp_path / name, palette=colors)
    with pytest.raises(FileNotFoundError, match=r"no such folder; create .*missing"):
        save(image, tmp_path / "missing" / "image.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = tmp_path / "image.png"
    save(noise(4, 4), path)
    before = path.read_bytes()

    def fails(_, file, **__):
        file.write_bytes(b"half a file")
        raise error

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(type(error)):
        save(noise(4, 4, seed=1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_onto_a_folder_leaves_no_temporary_file(tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OSError, match="folder"):
        save(noise(4, 4), tmp_path / "folder.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [((512, 683), (512, 704)), ((683, 512), (704, 512)), ((600, 600), (512, 512)), ((375, 500), (512, 704))],
)
def test_a_policy_with_a_multiple_rounds_the_other_side_up(image, expected):
    policy = SizePolicy.parse("short:512/32")
    assert str(policy) == "short:512/32"
    assert policy.working_size(Size(*image)) == expected
