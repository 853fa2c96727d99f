"""`densevit upscale`: what it writes, what it refuses, and that one bad image costs only itself."""

import json

import numpy as np
import pytest
from PIL import Image, ImageCms

from densevit import imaging
from densevit.imaging import Photo, read_photo, save_photo
from helpers import tiny


@pytest.fixture
def upscale(densevit):
    return lambda *arguments: densevit("upscale", "--model", tiny.sr_graph(), "--precision", "fp32", *arguments)


def test_a_folder(upscale, written, tmp_path):
    for name in ("a.png", "sub/b.jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        imaging.save(tiny.image(20, 30), path)
    done = upscale("in", "--out", "out", "--compare")
    assert done.code == 0, done.err
    assert written(tmp_path / "out") == {"a.png", "a.compare.jpg", "sub/b.png", "sub/b.compare.jpg"}
    assert imaging.read("out/a.png").shape == (40, 60, 3)
    assert imaging.read("out/a.compare.jpg").shape == (40, 120, 3)
    assert "60 x 40 px" in done.out


def test_keeps_depth_transparency_profile_and_orientation(upscale, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = tiny.image(20, 30).astype(np.uint16) * 257
    save_photo(Photo(pixels, pixels[..., 0].copy(), profile), tmp_path / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(tiny.image(20, 30)).save(tmp_path / "turned.jpg", exif=exif)
    done = upscale("deep.png", "turned.jpg")
    assert done.code == 0, done.err
    photo = read_photo("out/deep.png")
    assert photo.pixels.dtype == np.uint16
    assert photo.pixels.shape == (40, 60, 3)
    assert photo.alpha.shape == (40, 60)
    assert photo.icc_profile == profile
    assert read_photo("out/turned.png").pixels.shape == (60, 40, 3)


def test_report(upscale, tmp_path):
    imaging.save(tiny.image(20, 30), tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    done = upscale("a.png", "bad.png", "--json")
    assert done.code == 1
    report = json.loads(done.out)
    good, bad = report["images"]
    assert (good["height"], good["width"], good["scale"]) == (40, 60, 2)
    assert good["written"] == ["out/a.png"]
    assert "bad.png" in bad["error"]
    assert report["failed"] == 1


@pytest.mark.parametrize("tile", ["auto", "whole", "80", "96", "5000"])
def test_tiles(upscale, tmp_path, tile):
    imaging.save(tiny.image(100, 130), tmp_path / "a.png")
    done = upscale("a.png", "--tile", tile)
    assert done.code == 0, done.err
    assert imaging.read("out/a.png").shape == (200, 260, 3)


@pytest.mark.parametrize("tile", ["64", "-1", "x", "", "1e3", "9999999"])
def test_tiles_that_cannot_be(upscale, tmp_path, tile):
    imaging.save(tiny.image(20, 30), tmp_path / "a.png")
    done = upscale("a.png", f"--tile={tile}")
    assert done.code == 2
    assert "tile (--tile, tile=) must be auto, whole, or 65 to 16384 pixels" in done.err


def test_other_formats(upscale, tmp_path):
    save_photo(Photo(tiny.image(20, 30)), tmp_path / "a.png")
    save_photo(Photo(tiny.image(20, 30), tiny.image(20, 30)[..., 0].copy()), tmp_path / "clear.png")
    assert upscale("a.png", "--format", "jpg").code == 0
    assert imaging.read("out/a.jpg").shape == (40, 60, 3)
    done = upscale("clear.png", "--format", "jpg")
    assert done.code == 1
    assert "transparency" in done.err
    assert upscale("a.png", "--format", "xyz").code == 2


def test_an_image_that_is_too_large_for_webp_costs_only_itself(upscale, written, tmp_path):
    imaging.save(tiny.image(1, 8192), tmp_path / "long.png")
    imaging.save(tiny.image(20, 30), tmp_path / "small.png")
    done = upscale("long.png", "small.png", "--format", "webp")
    assert done.code == 1
    (line,) = done.errors
    assert "long.png: WebP holds at most 16,383 px a side, got 16384 x 2 px; use format png" in line
    assert written(tmp_path / "out") == {"small.webp"}
    # what the message advises works
    assert upscale("long.png", "--format", "png").code == 0


def test_a_model_of_another_task(densevit, tmp_path):
    imaging.save(tiny.image(20, 30), tmp_path / "a.png")
    done = densevit("upscale", "a.png", "--model", tiny.graph())
    assert done.code == 2
    assert "use densevit segment" in done.err
    done = densevit("segment", "a.png", "--model", tiny.sr_graph())
    assert done.code == 2
    assert "use densevit upscale" in done.err


def test_a_full_disk(upscale, written, tmp_path, monkeypatch):
    imaging.save(tiny.image(20, 30), tmp_path / "a.png")

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    done = upscale("a.png")
    assert done.code == 1
    assert "a.png" in done.errors[0]
    assert "No space left on device" in done.errors[0]
    assert written(tmp_path / "out") == set()


def test_evaluation(densevit, tmp_path):
    for index in range(2):
        path = tmp_path / "hr" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        imaging.save(tiny.image(65, 49, seed=index), path)
    done = densevit("eval", tiny.sr_graph(), "--data", "sr:hr", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["images"] == 2
    assert 5 < report["metrics"]["psnr_y"] < 60
    assert 0 < report["metrics"]["ssim_y"] < 1
    done = densevit("eval", tiny.sr_graph(), "--data", "sr:hr")
    assert "PSNR on Y" in done.out
    assert " dB" in done.out
    assert "%" not in done.out
    done = densevit("eval", tiny.graph(), "--data", "sr:hr")
    assert done.code == 2
    assert "kinds that fit" in done.err
