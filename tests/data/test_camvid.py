"""CamVid's folders: what is read, and what is said of folders that are not laid out as they should be."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densevit.core.errors import UsageError
from densevit.data.base import DataError, list_images, read_label_image
from densevit.data.camvid import CamVid
from densevit.data.table import SEGMENTATION_DATA, open_data
from densevit.imaging import ImageError

NAMES = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]


def write(root: Path, split: str, name: str, labels: np.ndarray, *, suffix: str = ".png") -> np.ndarray:
    """One image and its labels; -> the image."""
    image = np.random.default_rng(len(name)).integers(0, 256, (*labels.shape, 3), dtype=np.uint8)
    for folder, array, end in ((split, image, suffix), (f"{split}annot", labels, ".png")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / folder / f"{name}{end}")
    return image


def some_labels() -> np.ndarray:
    return np.arange(24, dtype=np.uint8).reshape(4, 6) % 12


def refused(action, *paths: Path) -> str:
    with pytest.raises(DataError) as error:
        action()
    for path in paths:
        assert str(path) in str(error.value)
    return str(error.value)


def test_samples(tmp_path):
    labels = some_labels()
    last = write(tmp_path, "val", "b", labels)
    first = write(tmp_path, "val", "a", labels[::-1])
    data = CamVid(tmp_path, "val")
    assert len(data) == 2
    assert data[0].name == "a"
    np.testing.assert_array_equal(data[0].image, first)
    np.testing.assert_array_equal(data[1].image, last)
    for sample, stored in ((data[0], labels[::-1]), (data[1], labels)):
        assert sample.labels.dtype == np.uint8
        expected = [[255 if value == 11 else value for value in row] for row in stored.tolist()]
        assert sample.labels.tolist() == expected


def test_classes_and_colors(tmp_path):
    write(tmp_path, "val", "a", some_labels())
    data = CamVid(tmp_path, "val")
    assert [name.lower() for name in data.class_names] == NAMES
    assert data.palette.shape == (11, 3)
    assert data.palette.dtype == np.uint8
    assert len(np.unique(data.palette, axis=0)) == 11


def test_jpeg_images_and_other_files(tmp_path):
    write(tmp_path, "train", "a", some_labels(), suffix=".jpg")
    write(tmp_path, "train", "b", some_labels(), suffix=".JPG")
    (tmp_path / "train" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "train" / "sub").mkdir()
    assert [path.name for path in CamVid(tmp_path, "train").images] == ["a.jpg", "b.JPG"]


def test_labels_with_a_palette_are_indices(tmp_path):
    write(tmp_path, "val", "a", some_labels())
    image = Image.frombytes("P", (6, 4), some_labels().tobytes())
    image.putpalette([255, 0, 0] * 256)
    image.save(tmp_path / "valannot" / "a.png")
    assert CamVid(tmp_path, "val")[0].labels[0, 0] == 0
    assert CamVid(tmp_path, "val")[0].labels[1, 4] == 10


def test_splits_do_not_mix(tmp_path):
    write(tmp_path, "train", "a", some_labels())
    write(tmp_path, "val", "b", some_labels())
    assert [path.stem for path in CamVid(tmp_path, "train").images] == ["a"]


def test_no_folder(tmp_path):
    assert "no such" in refused(lambda: CamVid(tmp_path, "val"), tmp_path / "val")
    refused(lambda: CamVid(tmp_path / "none", "val"), tmp_path / "none" / "val")


def test_one_level_too_high_or_low(tmp_path):
    write(tmp_path / "camvid", "val", "a", some_labels())
    (tmp_path / "a" / "val").mkdir(parents=True)
    assert "too high" in refused(lambda: CamVid(tmp_path, "val"), tmp_path / "camvid")
    assert "too low" in refused(lambda: CamVid(tmp_path / "camvid" / "val", "val"), tmp_path / "camvid")


def test_other_splits_are_listed(tmp_path):
    write(tmp_path, "val", "a", some_labels())
    write(tmp_path, "train", "a", some_labels())
    assert "existing splits: train, val" in refused(lambda: CamVid(tmp_path, "test"), tmp_path / "test")


def test_labels_without_a_image(tmp_path, caplog):
    write(tmp_path, "val", "a", some_labels())
    write(tmp_path, "val", "b", some_labels())
    (tmp_path / "val" / "a.png").unlink()
    with caplog.at_level("WARNING", "densevit"):
        assert len(CamVid(tmp_path, "val")) == 1
    assert f"{tmp_path / 'valannot' / 'a.png'}: labels without an image (1 such files" in caplog.text


def test_an_empty_folder(tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "readme.txt").write_text("hello")
    assert "no image" in refused(lambda: CamVid(tmp_path, "val"), tmp_path / "val")


def test_a_file_instead_of_a_folder(tmp_path):
    (tmp_path / "val").write_text("hello")
    refused(lambda: list_images(tmp_path / "val"), tmp_path / "val")


def test_missing_labels(tmp_path):
    for name in "abc":
        write(tmp_path, "val", name, some_labels())
    for name in "bc":
        (tmp_path / "valannot" / f"{name}.png").unlink()
    assert "2 of 3 images lack labels" in refused(lambda: CamVid(tmp_path, "val"), tmp_path / "valannot" / "b.png")


def test_labels_of_another_size(tmp_path):
    write(tmp_path, "val", "a", some_labels())
    Image.fromarray(some_labels().T.copy()).save(tmp_path / "valannot" / "a.png")
    data = CamVid(tmp_path, "val")
    message = refused(lambda: data[0], tmp_path / "valannot" / "a.png")
    assert "labels are 4 x 6 px, the image a.png is 6 x 4 px" in message


@pytest.mark.parametrize("value", [12, 254, 255])
def test_ids_that_are_not_camvids(tmp_path, value):
    labels = some_labels()
    labels[2, 3] = value
    write(tmp_path, "val", "a", labels)
    data = CamVid(tmp_path, "val")
    assert str(value) in refused(lambda: data[0], tmp_path / "valannot" / "a.png")


def test_colored_labels(tmp_path):
    write(tmp_path, "val", "a", some_labels())
    path = tmp_path / "valannot" / "a.png"
    for mode in ("RGB", "RGBA", "1", "I;16"):
        Image.new(mode, (6, 4)).save(path)
        refused(lambda: read_label_image(path), path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_damaged_labels(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    refused(lambda: read_label_image(path), path)


def test_truncated_labels(tmp_path):
    path = tmp_path / "a.png"
    labels = np.random.default_rng(0).integers(0, 12, (40, 40), dtype=np.uint8)
    Image.fromarray(labels).save(path)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_label_image(path), labels)
    path.write_bytes(whole[: len(whole) // 2])
    refused(lambda: read_label_image(path), path)


def test_lossy_labels_are_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(some_labels()).save(path, format="JPEG")
    refused(lambda: read_label_image(path), path)


def test_a_damaged_image(tmp_path):
    write(tmp_path, "val", "a", some_labels())
    (tmp_path / "val" / "a.png").write_bytes(b"hello")
    data = CamVid(tmp_path, "val")
    with pytest.raises((ImageError, DataError), match=r"a\.png"):
        data[0]


def test_open_data(tmp_path):
    write(tmp_path, "val", "a", some_labels())
    assert len(open_data(f"camvid:{tmp_path}", "val")) == 1
    assert "camvid" in SEGMENTATION_DATA


@pytest.mark.parametrize("text", ["", "camvid", "camvid:", ":x", "/a/b"])
def test_open_data_wants_kind_and_path(text):
    with pytest.raises(UsageError, match=r"KIND:PATH|unknown kind"):
        open_data(text, "val")


def test_open_data_of_an_unknown_kind():
    with pytest.raises(UsageError, match=r"'imagenet1k'.*camvid"):
        open_data("imagenet1k:/a", "val")


@pytest.mark.needs_shared
def test_the_real_one(shared, tmp_path):
    import tarfile

    with tarfile.open(shared / "data" / "camvid.tar") as file:
        members = [member for member in file.getmembers() if "/val" in member.name]
        chosen = sorted(member.name for member in members if member.name.endswith(".jpg"))[:2]
        stems = {Path(name).stem for name in chosen}
        file.extractall(tmp_path, [m for m in members if Path(m.name).stem in stems], filter="data")
    data = CamVid(tmp_path / "camvid", "val")
    assert len(data) == 2
    for index in range(2):
        sample = data[index]
        assert sample.image.shape == (360, 480, 3)
        present = set(np.unique(sample.labels).tolist())
        assert {0, 1, 3} <= present <= {*range(11), 255}
