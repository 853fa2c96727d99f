"""Photographs keep depth, transparency and profile through files; what cannot be kept is refused, not lost."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from densevit.core.errors import InputError, UnavailableError
from densevit.imaging import ImageError, Photo, read, read_photo, save_photo


def pixels(dtype, channels=3, height=13, width=17, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@given(
    st.sampled_from([np.uint8, np.uint16]), st.booleans(), st.booleans(), st.integers(1, 40), st.integers(1, 40)
)
@settings(max_examples=40, deadline=None)
def test_png_round_trip(tmp_path_factory, dtype, transparent, with_profile, height, width):
    path = tmp_path_factory.mktemp("photo") / "a.png"
    photo = Photo(
        pixels(dtype, 3, height, width),
        pixels(dtype, 0, height, width, seed=1) if transparent else None,
        profile() if with_profile else None,
    )
    save_photo(photo, path)
    again = read_photo(path)
    assert again.pixels.dtype == dtype
    np.testing.assert_array_equal(again.pixels, photo.pixels)
    if transparent:
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    else:
        assert again.alpha is None
    assert again.icc_profile == photo.icc_profile


def test_arrays_in_any_order_of_memory(tmp_path):
    turned = pixels(np.uint16).transpose(1, 0, 2)
    save_photo(Photo(turned), tmp_path / "a.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, turned)


def test_large_16_bit_image_in_strips(tmp_path):
    photo = Photo(pixels(np.uint16, 3, 900, 1000))
    save_photo(photo, tmp_path / "a.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, photo.pixels)
    # others read the file too
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), (photo.pixels >> 8).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_and_profile_in_every_format_that_has_them(tmp_path, suffix):
    photo = Photo(pixels(np.uint8), pixels(np.uint8, 0, seed=1), profile())
    save_photo(photo, tmp_path / f"a{suffix}")
    again = read_photo(tmp_path / f"a{suffix}")
    assert again.icc_profile == photo.icc_profile
    np.testing.assert_array_equal(again.alpha, photo.alpha)


def test_orientation_is_applied_to_all_layers(tmp_path):
    path = tmp_path / "a.png"
    original = pixels(np.uint8, 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(original).save(path, exif=exif)
    photo = read_photo(path)
    turned = np.rot90(original, k=-1)
    np.testing.assert_array_equal(photo.pixels, turned[..., :3])
    np.testing.assert_array_equal(photo.alpha, turned[..., 3])


class TestReading:
    def test_gray_of_16_bits(self, tmp_path):
        gray = pixels(np.uint16, 0)
        Image.fromarray(gray).save(tmp_path / "a.png")
        photo = read_photo(tmp_path / "a.png")
        assert photo.pixels.dtype == np.uint16
        np.testing.assert_array_equal(photo.pixels, np.repeat(gray[..., None], 3, axis=2))

    def test_gray_palette_and_cmyk_become_rgb(self, tmp_path):
        image = Image.fromarray(pixels(np.uint8))
        image.convert("L").save(tmp_path / "gray.png")
        image.quantize(16).save(tmp_path / "palette.png")
        image.convert("CMYK").save(tmp_path / "cmyk.tif", icc_profile=profile().replace(b"RGB ", b"CMYK", 1))
        for name in ("gray.png", "palette.png", "cmyk.tif"):
            photo = read_photo(tmp_path / name)
            assert photo.alpha is None
            np.testing.assert_array_equal(photo.pixels, read(tmp_path / name))
        # a profile of other colors than those that are left would be a lie
        assert read_photo(tmp_path / "cmyk.tif").icc_profile is None

    def test_transparent_color_of_a_palette(self, tmp_path):
        image = Image.fromarray(pixels(np.uint8)).quantize(8)
        image.save(tmp_path / "a.png", transparency=3)
        photo = read_photo(tmp_path / "a.png")
        assert set(np.unique(photo.alpha)) <= {0, 255}
        assert (photo.alpha == 0).any()

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("channels", [0, 1, 3, 4])
    def test_arrays(self, dtype, channels):
        array = pixels(dtype, channels)
        photo = read_photo(array)
        assert photo.pixels.dtype == dtype
        assert (photo.alpha is not None) == (channels == 4)
        if channels >= 3:
            np.testing.assert_array_equal(photo.pixels, array[..., :3])

    @pytest.mark.parametrize(
        "array", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)]
    )
    def test_arrays_that_are_no_images(self, array):
        with pytest.raises(ImageError, match="allowed: uint8 or uint16"):
            read_photo(array)

    def test_too_large_a_file_is_refused_before_decoding(self, tmp_path):
        save_photo(Photo(pixels(np.uint16)), tmp_path / "a.png")
        with pytest.raises(ImageError, match="too large"):
            read_photo(tmp_path / "a.png", max_pixels=100)

    def test_a_cut_16_bit_file(self, tmp_path):
        path = tmp_path / "a.png"
        save_photo(Photo(pixels(np.uint16, 3, 100, 100)), path)
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(ImageError, match="cannot be read"):
            read_photo(path)

    def test_eight_bits(self):
        photo = Photo(np.array([[[0, 128, 129], [65535, 65406, 257]]], np.uint16))
        np.testing.assert_array_equal(photo.to_8_bits(), [[[0, 0, 1], [255, 254, 1]]])
        assert Photo(pixels(np.uint8)).to_8_bits() is not None


class TestSaving:
    def test_what_a_format_cannot_hold(self, tmp_path):
        transparent = Photo(pixels(np.uint8), pixels(np.uint8, 0))
        with pytest.raises(ValueError, match=r"transparency, which \.jpg does not hold"):
            save_photo(transparent, tmp_path / "a.jpg")
        with pytest.raises(ValueError, match="16 bits per channel"):
            save_photo(Photo(pixels(np.uint16)), tmp_path / "a.webp")
        with pytest.raises(ValueError, match=r"got suffix '\.xyz'"):
            save_photo(transparent, tmp_path / "a.xyz")
        with pytest.raises(InputError, match="no such folder; create"):
            save_photo(transparent, tmp_path / "none" / "a.png")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_a_full_disk_leaves_the_old_file(self, tmp_path, monkeypatch, dtype):
        path = tmp_path / "a.png"
        path.write_bytes(b"old")

        def full(*arguments, **options):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("densevit.imaging.photo.write_png16", full)
        monkeypatch.setattr(Image.Image, "save", full)
        with pytest.raises(UnavailableError, match="no space left"):
            save_photo(Photo(pixels(dtype)), path)
        assert path.read_bytes() == b"old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match="alpha: got"):
            Photo(pixels(np.uint8), pixels(np.uint16, 0))
        with pytest.raises(ValueError, match="pixels: got"):
            Photo(pixels(np.uint8, 4))


def test_a_damaged_profile_is_left_out(tmp_path):
    file = io.BytesIO()
    Image.fromarray(pixels(np.uint8)).save(file, "PNG", icc_profile=b"no profile at all")
    path = tmp_path / "a.png"
    path.write_bytes(file.getvalue())
    assert read_photo(path).icc_profile is None
