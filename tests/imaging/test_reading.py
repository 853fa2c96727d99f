"""Reading survives whatever a file holds, and does what its docstring states."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from densevit.imaging import ImageError, read
from helpers.images import encode_image, encode_png, make_noise, write_file

ORIENTATION = 0x0112


def refusal(source, **options) -> str:
    """The message with which a source is refused, held to the form of every message."""
    with pytest.raises(ImageError) as caught:
        read(source, **options)
    message = str(caught.value)
    assert message.isprintable(), "one line"
    assert ": " in message, "a name, then the problem"
    assert ";" in message, "and the remedy"
    return message


# Readable images


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_come_back_exactly(tmp_path, file_format):
    image = make_noise(7, 11)
    path = write_file(tmp_path, encode_image(image, file_format), "any.suffix")
    for source in (path, str(path)):
        result = read(source)
        assert result.dtype == np.uint8
        assert result.flags.c_contiguous
        assert result.flags.writeable
        np.testing.assert_array_equal(result, image)
    np.testing.assert_array_equal(read(Image.fromarray(image)), image)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
def test_lossy_files_come_back_as_pillow_decodes_them(tmp_path, file_format):
    content = encode_image(make_noise(7, 11), file_format)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(read(write_file(tmp_path, content)), expected)


def test_a_jpeg_of_two_images_gives_the_first(tmp_path):
    content = encode_image(
        Image.new("RGB", (8, 8), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))]
    )
    assert read(write_file(tmp_path, content))[0, 0, 0] > 200


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(tmp_path, file_format):
    frames = [Image.new("RGB", (9, 5), color) for color in ("red", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = encode_image(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    result = read(write_file(tmp_path, content))
    np.testing.assert_array_equal(result, np.broadcast_to(np.uint8([255, 0, 0]), (5, 9, 3)))


def test_one_pixel(tmp_path):
    assert read(write_file(tmp_path, encode_image(make_noise(1, 1), "PNG"))).shape == (1, 1, 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV"])
def test_modes_convert_as_pillow_does(mode):
    image = Image.fromarray(make_noise(6, 5)).convert(mode)
    np.testing.assert_array_equal(read(image), np.array(image.convert("RGB")))


def test_cmyk_jpeg_keeps_its_colors(tmp_path):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    result = read(write_file(tmp_path, encode_image(red, "JPEG")))
    assert np.abs(result.astype(int) - [255, 0, 0]).max() < 8


def test_16_bit_gray_is_scaled_not_clipped(tmp_path):
    values = np.array([[0, 128, 129, 257, 1000, 32_768, 65_406, 65_407, 65_535]], np.uint16)
    expected = np.repeat(np.rint(values[..., None] / 257).astype(np.uint8), 3, axis=2)
    sources = [
        write_file(tmp_path, encode_image(values, "PNG"), "gray.png"),
        write_file(tmp_path, encode_image(values, "TIFF"), "little.tif"),
        Image.fromarray(values.astype(np.int32)),
        Image.frombytes("I;16B", (9, 1), values.astype(">u2").tobytes()),
    ]
    for source in sources:
        np.testing.assert_array_equal(read(source), expected)


def test_16_bit_color_png_is_read(tmp_path):
    values = np.array([[[0, 32_768, 65_535], [257, 514, 40_000]]], ">u2")
    path = write_file(tmp_path, encode_png(2, 1, 16, 2, b"\0" + values.tobytes()))
    assert np.abs(read(path) - values / 257).max() <= 1


def test_transparency_lies_over_white(tmp_path):
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    expected = [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]]
    np.testing.assert_array_equal(read(rgba), expected)
    np.testing.assert_array_equal(read(write_file(tmp_path, encode_image(rgba, "PNG"))), expected)
    np.testing.assert_array_equal(read(Image.new("LA", (1, 1), (7, 0))), [[[255, 255, 255]]])
    np.testing.assert_array_equal(read(Image.new("LA", (1, 1), (7, 255))), [[[7, 7, 7]]])


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_transparent_palette_colors_lie_over_white(tmp_path, transparency):
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([9, 8, 7, 6, 5, 4])
    path = write_file(tmp_path, encode_image(image, "PNG", transparency=transparency))
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
    content = encode_image(np.ascontiguousarray(stored), file_format, exif=exif, **options)
    result = read(write_file(tmp_path, content))
    assert result.shape == upright.shape
    assert np.abs(result.astype(int) - upright).max() < 10


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_hide_the_image(tmp_path):
    content = encode_image(make_noise(8, 8), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    assert read(write_file(tmp_path, content)).shape == (8, 8, 3)


def test_arrays():
    image = make_noise(4, 5)
    assert read(image) is image
    np.testing.assert_array_equal(read(image[:, ::2]), image[:, ::2])
    assert read(image[:, ::2]).flags.c_contiguous
    gray = make_noise(4, 5, 1)
    for array in (gray, gray[..., None]):
        np.testing.assert_array_equal(read(array), np.stack([gray] * 3, axis=2))


# Everything else is refused


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


@pytest.mark.parametrize("source", [None, 3, b"street.jpg", [make_noise(2, 2)]])
def test_other_types_are_refused(source):
    assert "allowed: a path, a PIL image or a numpy array" in refusal(source)


def test_paths_that_are_not_images_are_refused(tmp_path):
    image = write_file(tmp_path, encode_image(make_noise(4, 4), "PNG"), "image.png")
    assert "missing.png: no such file" in refusal(tmp_path / "missing.png")
    assert "no such file" in refusal(image / "below.png")
    assert "is a folder" in refusal(tmp_path)
    assert "is empty" in refusal(write_file(tmp_path, b"", "empty.png"))
    assert "known format (JPEG, PNG" in refusal(write_file(tmp_path, b"hello", "text.png"))
    assert "known format" in refusal(write_file(tmp_path, b"%!PS-Adobe-3.0 EPSF-3.0\n", "figure.eps"))
    assert "no such file" in refusal("-")
    assert "cannot be read" in refusal("a\0b.png")
    assert "cannot be read" in refusal("a" * 5000)
    refusal(tmp_path / "two\nlines.png")
    refusal(os.fsdecode(b"\xff.png"))


@pytest.mark.parametrize("url", ["https://example.org/street.jpg", "s3://bucket/street.jpg"])
def test_urls_must_be_downloaded_first(url):
    assert "download it first" in refusal(url)
    assert "download it first" in refusal(Path(url))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_permission_denied(tmp_path, monkeypatch):
    path = write_file(tmp_path, encode_image(make_noise(4, 4), "PNG"))

    def denied(*_):  # a test may run as root, who may read every file
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "permission denied" in refusal(path)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_truncated_files_are_refused(tmp_path, file_format):
    content = encode_image(make_noise(64, 64), file_format)
    for length in (1, 8, 20, len(content) // 2):
        message = refusal(write_file(tmp_path, content[:length], "cut.bin"))
        assert "cut.bin" in message


def test_unknown_ranges_are_refused():
    assert "floating-point" in refusal(Image.fromarray(np.zeros((2, 2), np.float32)))
    assert "0 to 65536, allowed 0 to 65535" in refusal(Image.fromarray(np.array([[0, 65_536]], np.int32)))
    assert "-1 to 0" in refusal(Image.fromarray(np.array([[-1, 0]], np.int32)))


def test_closed_and_empty_pillow_images_are_refused(tmp_path):
    with Image.open(write_file(tmp_path, encode_image(make_noise(4, 4), "PNG"))) as image:
        pass
    assert refusal(image).startswith("PIL image: ")
    assert "no pixels" in refusal(Image.new("RGB", (0, 4)))


def test_max_pixels_is_checked_before_decoding(tmp_path):
    image = Image.fromarray(make_noise(10, 20))
    path = write_file(tmp_path, encode_image(image, "PNG"))
    assert read(path, max_pixels=200).shape == (10, 20, 3)
    for source in (path, image):
        assert "20 x 10 px = 200 pixels, allowed 199" in refusal(source, max_pixels=199)
    # 10 gigapixels in a few bytes: decoding would take 30 GB.
    assert "too large" in refusal(write_file(tmp_path, encode_png(100_000, 100_000, 8, 2, b"")))


def test_pillows_own_limits_do_not_matter(tmp_path, monkeypatch):
    formats = ["PNG", "JPEG", "BMP", "PPM", "GIF"]
    for limit, also in (
        (150, ["TIFF", "WEBP"]),
        (10, []),
    ):  # of 200 pixels Pillow warns, then calls them a bomb
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        for file_format in formats + also:
            path = write_file(tmp_path, encode_image(make_noise(10, 20), file_format))
            assert read(path).shape == (10, 20, 3)


def test_unknown_tiff_orientations_are_ignored(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ORIENTATION] = 77
    path = write_file(tmp_path, encode_image(make_noise(4, 6), "TIFF", tiffinfo=tags))
    assert read(path).shape == (4, 6, 3)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damage; raised, a warning would hide errors
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_damaged_files_give_an_array_or_an_image_error(tmp_path, file_format):
    random = np.random.default_rng(0)
    smooth = Image.fromarray(make_noise(3, 4)).resize((40, 30))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    options = {"exif": exif} if file_format in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    valid = np.frombuffer(encode_image(smooth, file_format, **options), np.uint8)
    outcomes = {"read": 0, "refused": 0}
    for case in range(150):
        damaged = valid.copy()
        # Half of the damage goes to the header, where it does most.
        reach = len(valid) if case % 2 else min(200, len(valid))
        flips = random.integers(0, reach, random.integers(1, 8))
        damaged[flips] = random.integers(0, 256, len(flips))
        if case % 3 == 0:
            damaged = damaged[: random.integers(1, len(valid))]
        path = write_file(tmp_path, damaged.tobytes())
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
