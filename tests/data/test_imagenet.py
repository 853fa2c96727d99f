"""ImageNet's folders, all of them or some."""

import pytest

from densevit.data.imagenet import ImageNetFolder
from helpers.made import make_image, refused, save

WNIDS = ("n01440764", "n01443537", "n01484850", "n02119789")


def write(root, wnid, name="x", split="val"):
    path = root / split / wnid / f"{name}.png"
    save(path, make_image())
    path.rename(path.with_suffix(".JPEG"))


def test_classes_are_the_sorted_folders(tmp_path):
    for wnid in ("n02119789", "n01440764", "n01484850"):
        write(tmp_path, wnid)
    write(tmp_path, "n01440764", "a")
    data = ImageNetFolder(tmp_path, "val")
    assert data.class_names == ("n01440764", "n01484850", "n02119789")
    assert [(data[index].name, data[index].label) for index in range(4)] == [
        ("n01440764/a", 0),
        ("n01440764/x", 0),
        ("n01484850/x", 1),
        ("n02119789/x", 2),
    ]
    assert data[0].image.shape == (4, 6, 3)


def test_some_of_the_known_classes(tmp_path):
    write(tmp_path, "n02119789")
    write(tmp_path, "n01443537")
    data = ImageNetFolder(tmp_path, "val", wnids=WNIDS)
    assert data.class_names == ("n01443537", "n02119789")
    assert [data[0].label, data[1].label] == [0, 1]


def test_other_folders_are_classes_of_their_own(tmp_path):
    write(tmp_path, "dog")
    write(tmp_path, "cat")
    assert ImageNetFolder(tmp_path, "val", wnids=WNIDS).class_names == ("cat", "dog")


def test_a_mixture_is_refused(tmp_path):
    write(tmp_path, "n02119789")
    write(tmp_path, "cat")
    refused(lambda: ImageNetFolder(tmp_path, "val", wnids=WNIDS), "cat", "not one of the 4 classes", "n01440764")


def test_flat_images_are_explained(tmp_path):
    for number in range(3):
        save(tmp_path / "val" / f"ILSVRC2012_val_0000000{number}.png", make_image())
    message = refused(
        lambda: ImageNetFolder(tmp_path, "val"), tmp_path / "val", "3 images are not in class folders"
    )
    assert "ILSVRC2012_validation_ground_truth.txt" in message


def test_mistakes(tmp_path):
    root = tmp_path / "imagenet"
    write(root, "n02119789")
    write(root, "n02119789", split="train")
    refused(lambda: ImageNetFolder(root, "test"), root / "test", "existing splits: train, val")
    refused(lambda: ImageNetFolder(root / "val", "val"), "one level too low")
    refused(lambda: ImageNetFolder(tmp_path, "val"), "one level too high", root)
    # a folder beside that has such a split, but no classes, is not meant
    (tmp_path / "camvid" / "val").mkdir(parents=True)
    refused(lambda: ImageNetFolder(tmp_path, "val"), "one level too high", root)
    (root / "val" / "n01440764").mkdir()
    refused(lambda: ImageNetFolder(root, "val"), root / "val/n01440764", "no image", "remove the folder")
    (tmp_path / "empty" / "val").mkdir(parents=True)
    refused(lambda: ImageNetFolder(tmp_path / "empty", "val"), "no class folder in it")


@pytest.mark.parametrize("exists", [False, True])
def test_a_root_that_is_none(tmp_path, exists):
    if exists:
        (tmp_path / "x").write_text("archive")
    refused(lambda: ImageNetFolder(tmp_path / "x", "val"), "unpack it" if exists else "check the path")
