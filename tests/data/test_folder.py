"""Own folders: images, masks, classes."""

import numpy as np
import pytest
from PIL import Image

from densevit.data.folder import FolderData, read_classes
from helpers.made import make_image, refused, save

MASK = np.array([[0, 1, 2], [255, 1, 0]])


def write(root, name="a", *, split="", mask=MASK, classes="soil\nlow vegetation\nzone 3\n"):
    save(root / "images" / split / f"{name}.png", make_image(*np.shape(mask)[:2]))
    (root / "classes.txt").write_text(classes)
    return save(root / "masks" / split / f"{name}.png", mask)


def test_without_splits_every_split_is_all(tmp_path):
    write(tmp_path)
    write(tmp_path, "b")
    for split in ("train", "val"):
        data = FolderData(tmp_path, split)
        assert [data[0].name, data[1].name] == ["a", "b"]
        np.testing.assert_array_equal(data[0].labels, MASK)
        np.testing.assert_array_equal(data[0].image, make_image(2, 3))
    assert data.class_names == ("soil", "low vegetation", "zone 3")
    assert len(np.unique(data.palette, axis=0)) == 3


def test_with_splits(tmp_path):
    write(tmp_path, split="train")
    write(tmp_path, "b", split="val")
    assert FolderData(tmp_path, "val")[0].name == "b"
    refused(lambda: FolderData(tmp_path, "test"), tmp_path / "images/test", "existing splits: train, val")


def test_colors(tmp_path):
    write(tmp_path, classes="\ufeffsoil 1 2 3\nlow vegetation 255 0 10\nzone 3 0 0 0\n\n")
    data = FolderData(tmp_path, "val")
    assert data.class_names == ("soil", "low vegetation", "zone 3")
    assert data.palette.tolist() == [[1, 2, 3], [255, 0, 10], [0, 0, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a\n\nb", "line 2 is empty"),
        ("a\nb\na", "'a' occurs twice"),
        ("a 1 2 3\nb", "'b' has no color"),
        ("\n".join(map(str, range(255))), "255 classes; 8-bit masks can hold at most 254"),
        ("a" * 1_000_001, "more than 1,000,000 bytes"),
    ],
)
def test_lists_of_classes_that_are_none(tmp_path, text, message):
    path = tmp_path / "classes.txt"
    path.write_text(text)
    refused(lambda: read_classes(path), path, message)


def test_what_is_no_color_belongs_to_the_name(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("a 1 2 256\n1 2 3\nb -1 0 0\n")
    assert read_classes(path)[0] == ("a 1 2 256", "1 2 3", "b -1 0 0")


def test_a_list_that_is_no_text_or_not_there(tmp_path):
    path = tmp_path / "classes.txt"
    refused(lambda: read_classes(path), path, "no such file")
    path.write_bytes(b"\xff\xfe\x00")
    refused(lambda: read_classes(path), path, "UTF-8")


def test_most_classes(tmp_path):
    mask = np.array([[0, 253, 255]])
    write(tmp_path, mask=mask, classes="\n".join(f"class {index}" for index in range(254)))
    np.testing.assert_array_equal(FolderData(tmp_path, "val")[0].labels, mask)


@pytest.mark.parametrize("value", [3, 128, 254])
def test_values_outside_the_classes(tmp_path, value):
    path = write(tmp_path, mask=np.array([[0, value, value]]))
    refused(lambda: FolderData(tmp_path, "val")[0], path, f"2 pixels of value {value}", "lines 0..2")


def test_masks_of_other_kinds(tmp_path):
    path = write(tmp_path, mask=make_image(2, 3))
    refused(lambda: FolderData(tmp_path, "val")[0], path, "is RGB", "class indices")
    Image.fromarray(np.zeros((2, 3), np.uint16)).save(path)
    refused(lambda: FolderData(tmp_path, "val")[0], path, "one 8-bit channel")
    save(path, MASK.T)
    refused(lambda: FolderData(tmp_path, "val")[0], path, "labels are 2 x 3 px", "is 3 x 2 px")


def test_missing_parts(tmp_path, caplog):
    path = write(tmp_path / "set")
    write(tmp_path / "set", "b")
    refused(lambda: FolderData(tmp_path, "val"), "one level too high", tmp_path / "set")
    refused(lambda: FolderData(tmp_path / "set" / "images", "val"), "one level too low")
    path.unlink()
    refused(lambda: FolderData(tmp_path / "set", "val"), path, "a mask is a PNG with the name of its image")
    (tmp_path / "set" / "images" / "a.png").unlink()
    save(tmp_path / "set" / "masks" / "c.png", MASK)
    with caplog.at_level("WARNING", "densevit"):
        assert len(FolderData(tmp_path / "set", "val")) == 1
    assert "c.png: labels without an image" in caplog.text


def test_files_of_the_system_are_no_images(tmp_path):
    write(tmp_path)
    (tmp_path / "images" / "._a.png").write_bytes(b"x")
    (tmp_path / "masks" / "._a.png").write_bytes(b"x")
    (tmp_path / "images" / ".cache").mkdir()
    assert len(FolderData(tmp_path, "val")) == 1
