"""ADE20K: the challenge's 150 classes, and the full set that is mistaken for it."""

import numpy as np
import pytest

from densevit.data.ade20k import ADE20K
from helpers.made import make_image, refused, save

VALUES = np.array([[0, 1, 2], [149, 150, 0]])


def write(root, name="ADE_val_00000001", *, split="validation", labels=VALUES):
    save(root / "images" / split / f"{name}.jpg", make_image(*np.shape(labels)[:2]))
    return save(root / "annotations" / split / f"{name}.png", labels)


@pytest.mark.parametrize("given", ["", "ADEChallengeData2016"])
def test_samples(tmp_path, given):
    write(tmp_path / "ADEChallengeData2016", "ADE_val_00000002")
    write(tmp_path / "ADEChallengeData2016")
    data = ADE20K(tmp_path / given, "val")
    assert [data[0].name, data[1].name] == ["ADE_val_00000001", "ADE_val_00000002"]
    assert data[0].labels.tolist() == [[255, 0, 1], [148, 149, 255]]
    assert data[0].image.shape == (2, 3, 3)
    assert len(data.class_names) == len(data.palette) == 150


def test_splits(tmp_path):
    write(tmp_path, split="training")
    assert len(ADE20K(tmp_path, "train")) == len(ADE20K(tmp_path, "training")) == 1
    refused(lambda: ADE20K(tmp_path, "val"), tmp_path / "images/validation", "existing splits: train")


def test_other_values(tmp_path):
    path = write(tmp_path, labels=np.array([[151, 0, 255]]))
    refused(lambda: ADE20K(tmp_path, "val")[0], path, "value 151, 255", "0..150")


def test_colored_annotations_are_the_full_set(tmp_path):
    path = write(tmp_path, labels=make_image())
    refused(lambda: ADE20K(tmp_path, "val")[0], path, "RGB", "full ADE20K", "ADEChallengeData2016.zip")


@pytest.mark.parametrize(
    "files",
    [
        ["images/ADE/validation/urban/street/ADE_val_00000001.jpg"],
        ["images/validation/a/abbey/ADE_val_00000001.jpg", "images/validation/a/abbey/ADE_val_00000001_seg.png"],
        ["images/validation/ADE_val_00000001.jpg", "images/validation/ADE_val_00000001_seg.png"],
        ["images/validation/ADE_val_00000001.jpg", "annotations/validation/ADE_val_00000001_seg.png"],
    ],
)
def test_the_full_set(tmp_path, files):
    for name in files:
        save(tmp_path / name, make_image())
    refused(lambda: ADE20K(tmp_path, "val"), tmp_path, "full ADE20K", "ADEChallengeData2016.zip")


def test_the_index_of_the_full_set(tmp_path):
    write(tmp_path)
    (tmp_path / "index_ade20k.mat").write_bytes(b"")
    refused(lambda: ADE20K(tmp_path, "val"), tmp_path, "full ADE20K")


def test_missing(tmp_path, caplog):
    path = write(tmp_path)
    write(tmp_path, "ADE_val_00000002")
    path.unlink()
    refused(lambda: ADE20K(tmp_path, "val"), path, "1 of 2 images lack labels")
    write(tmp_path)
    (tmp_path / "images/validation/ADE_val_00000001.jpg").unlink()
    # a part of the set will do
    with caplog.at_level("WARNING", "densevit"):
        assert len(ADE20K(tmp_path, "val")) == 1
    assert f"{path}: labels without an image (1 such files" in caplog.text


def test_no_images(tmp_path):
    (tmp_path / "images/validation").mkdir(parents=True)
    refused(lambda: ADE20K(tmp_path, "val"), "no *.jpg in it; it holds nothing")


@pytest.mark.parametrize(("inner", "level"), [("../..", None), ("images", "low"), ("annotations", "low")])
def test_wrong_levels(tmp_path, inner, level):
    root = tmp_path / "a" / "b"
    write(root)
    message = refused(lambda: ADE20K(root / inner, "val"))
    if level:
        assert f"one level too {level}: give {root} instead" in message
    else:
        assert "no such folder; looked for ADEChallengeData2016" in message


def test_an_archive_instead_of_a_folder(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK")
    refused(lambda: ADE20K(tmp_path / "a.zip", "val"), "unpack it")
