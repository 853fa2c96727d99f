"""Cityscapes: label ids, train ids, and what is confused with them."""

import numpy as np
import pytest

from densevit.data.cityscapes import Cityscapes
from helpers.made import make_image, refused, save

# reference/efficientvit.md, section 6
OF_LABEL = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13}
OF_LABEL |= {27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
IDS = np.arange(34).reshape(2, 17)


def write(root, stem="aachen_000000_000019", *, split="val", labels=IDS, kind="labelIds"):
    city = stem.split("_")[0]
    name = root / "gtFine" / split / city / f"{stem}_gtFine_{kind}.png"
    save(name, labels)
    save(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", make_image(*np.shape(labels)[:2]))
    return name


def test_label_ids_become_train_ids(tmp_path):
    write(tmp_path, "lindau_000001_000019")
    write(tmp_path, "aachen_000000_000019")
    save(tmp_path / "gtFine/val/aachen/aachen_000000_000019_gtFine_color.png", make_image())
    data = Cityscapes(tmp_path, "val")
    assert len(data) == 2
    assert [data[0].name, data[1].name] == ["aachen_000000_000019", "lindau_000001_000019"]
    assert data[0].labels.ravel().tolist() == [OF_LABEL.get(value, 255) for value in range(34)]
    assert data[0].labels.dtype == np.uint8
    assert len(data.class_names) == len(data.palette) == 19
    np.testing.assert_array_equal(data[0].image, make_image(2, 17))


def test_train_ids_are_taken_where_there_is_nothing_else(tmp_path):
    values = np.array([[0, 18, 255]])
    write(tmp_path, labels=values, kind="labelTrainIds")
    assert Cityscapes(tmp_path, "val")[0].labels.tolist() == [[0, 18, 255]]
    write(tmp_path, labels=np.array([[7, 33, 4]]))
    assert Cityscapes(tmp_path, "val")[0].labels.tolist() == [[0, 18, 255]]


def test_each_under_the_name_of_the_other(tmp_path):
    path = write(tmp_path, labels=np.array([[0, 18, 255]]))
    message = refused(lambda: Cityscapes(tmp_path, "val")[0], path, "1 pixel of value 255")
    assert "train ids: name them *_gtFine_labelTrainIds.png" in message
    path.unlink()
    path = write(tmp_path, labels=np.array([[7, 26, 0]]), kind="labelTrainIds")
    assert "label ids: name them" in refused(lambda: Cityscapes(tmp_path, "val")[0], path, "value 26")


def test_values_of_another_set(tmp_path):
    path = write(tmp_path, labels=np.array([[34, 100]]))
    assert "another data set" in refused(lambda: Cityscapes(tmp_path, "val")[0], path, "value 34, 100")


def test_colored_labels(tmp_path):
    path = write(tmp_path, labels=make_image())
    assert "not *_color.png" in refused(lambda: Cityscapes(tmp_path, "val")[0], path, "RGB")


def test_another_size(tmp_path):
    path = write(tmp_path)
    save(path, IDS.T)
    refused(lambda: Cityscapes(tmp_path, "val")[0], path, "labels are 2 x 17 px", "is 17 x 2 px")


def test_missing_labels_and_missing_images(tmp_path, caplog):
    first, second = write(tmp_path), write(tmp_path, "bonn_1_2")
    first.unlink()
    message = refused(lambda: Cityscapes(tmp_path, "val"), first, "1 of 2 images lack labels")
    assert "gtFine_trainvaltest.zip" in message
    write(tmp_path)
    next((tmp_path / "leftImg8bit/val/bonn").iterdir()).unlink()
    with caplog.at_level("WARNING", "densevit"):
        assert len(Cityscapes(tmp_path, "val")) == 1
    assert f"{second}: labels without an image" in caplog.text


def test_no_labels_at_all(tmp_path):
    save(tmp_path / "leftImg8bit/val/ulm/ulm_1_2_leftImg8bit.png", make_image())
    refused(lambda: Cityscapes(tmp_path, "val"), tmp_path / "gtFine/val", "gtFine_trainvaltest.zip")


def test_renamed_images(tmp_path):
    write(tmp_path)
    save(tmp_path / "leftImg8bit/train/ulm/1.png", make_image())
    refused(lambda: Cityscapes(tmp_path, "train"), "1.png", "rename nothing")


def test_splits(tmp_path):
    write(tmp_path)
    write(tmp_path, split="train")
    save(tmp_path / "leftImg8bit/test/ulm/ulm_1_2_leftImg8bit.png", make_image())
    assert len(Cityscapes(tmp_path, "train")) == 1
    refused(lambda: Cityscapes(tmp_path, "validation"), "existing splits: train, val")
    refused(lambda: Cityscapes(tmp_path, "test"), "never published", "--split val")


@pytest.mark.parametrize(("inner", "level"), [("..", "high"), ("leftImg8bit", "low"), ("leftImg8bit/val", "low")])
def test_one_level_too_high_or_low(tmp_path, inner, level):
    root = tmp_path / "cityscapes"
    write(root)
    message = refused(lambda: Cityscapes(root / inner, "val"), f"one level too {level}")
    assert message.endswith(f"give {root if level == 'low' else root / inner / 'cityscapes'} instead")
