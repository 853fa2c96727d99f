"""Files are written whole or not at all, and hold what was saved."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from densevit.core.errors import InputError, UnavailableError
from densevit.imaging import Size, read, resize, save
from helpers.images import make_noise, write_file


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_save_then_read(tmp_path, suffix, channels):
    image = make_noise(9, 7, channels)
    path = tmp_path / f"image{suffix}"
    save(image, path)
    save(image, str(path))  # replaces
    np.testing.assert_array_equal(read(path), read(image))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_save_lossy(tmp_path, suffix):
    image = resize(make_noise(3, 4), Size(30, 40), "pil_bicubic")
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
    palette = make_noise(colors, 3, 1)
    save(labels, tmp_path / "labels.png", palette=palette)
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), labels)
    void = [0, 0, 0] if colors < 256 else palette[255]
    np.testing.assert_array_equal(read(tmp_path / "labels.png")[0, 2:], [palette[-1], void])


def test_saved_files_have_ordinary_permissions(tmp_path):
    save(make_noise(2, 2), tmp_path / "image.png")
    ordinary = write_file(tmp_path, b"")
    assert (tmp_path / "image.png").stat().st_mode == ordinary.stat().st_mode


def test_save_refuses_what_it_cannot_write(tmp_path):
    image, labels = make_noise(4, 4), make_noise(4, 4, 1)
    palette = make_noise(3, 3, 1)
    cases = [
        (image, "image.gif", None, "allowed: .png, .jpg"),
        (image, "image", None, "got suffix ''"),
        (image.astype(np.float32), "image.png", None, "image: got float32"),
        (labels.astype(np.uint16), "labels.jpg", None, "image: got uint16"),
        (labels, "labels.jpg", palette, "a palette needs"),
        (image, "labels.png", palette, "a palette needs"),
        (labels.astype(np.uint16), "labels.png", palette, "a palette needs"),
        (labels, "labels.png", make_noise(257, 3, 1), "N at most 256"),
        (labels, "labels.png", palette.astype(int), "palette: got int64"),
    ]
    for array, name, colors, message in cases:
        with pytest.raises(ValueError, match=message):
            save(array, tmp_path / name, palette=colors)
    with pytest.raises(InputError, match=r"no such folder; create .*missing first"):
        save(image, tmp_path / "missing" / "image.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("encoder error -2"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = tmp_path / "image.png"
    save(make_noise(4, 4), path)
    before = path.read_bytes()

    def fails(_, file, **__):
        file.write_bytes(b"half a file")
        raise error

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(type(error)):
        save(make_noise(4, 4, seed=1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch):
    def fill(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", fill)
    with pytest.raises(UnavailableError, match=r"image\.png: no space left to write it"):
        save(make_noise(4, 4), tmp_path / "image.png")
    assert list(tmp_path.iterdir()) == []


def test_a_save_onto_a_folder_leaves_no_temporary_file(tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"folder\.png: is a folder; choose another file name"):
        save(make_noise(4, 4), tmp_path / "folder.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]
