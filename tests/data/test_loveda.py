"""LoveDA's two scenes."""

import numpy as np
import pytest

from densevit.data.loveda import LoveDA
from helpers.made import make_image, refused, save

VALUES = np.arange(8).reshape(2, 4)


def write(root, name="Val/Urban", number=3, labels=VALUES):
    save(root / name / "images_png" / f"{number}.png", make_image(*np.shape(labels)[:2], seed=number))
    return save(root / name / "masks_png" / f"{number}.png", labels)


def test_samples(tmp_path):
    write(tmp_path)
    write(tmp_path, "Val/Rural", 7)
    write(tmp_path, "Val/Rural", 4)
    write(tmp_path, "Train/Rural", 1)
    data = LoveDA(tmp_path, "val")
    assert [data[index].name for index in range(len(data))] == ["Rural/4", "Rural/7", "Urban/3"]
    assert data[2].labels.tolist() == [[255, 0, 1, 2], [3, 4, 5, 6]]
    np.testing.assert_array_equal(data[2].image, make_image(2, 4, seed=3))
    assert data.class_names[0] == "background"
    assert len(data.class_names) == len(data.palette) == 7
    assert len(LoveDA(tmp_path, "train")) == 1


def test_one_scene_is_enough(tmp_path):
    write(tmp_path)
    assert len(LoveDA(tmp_path, "val")) == 1


def test_other_values(tmp_path):
    path = write(tmp_path, labels=np.array([[8, 1]]))
    refused(lambda: LoveDA(tmp_path, "val")[0], path, "value 8", "1..7")


def test_mistakes(tmp_path):
    path = write(tmp_path / "LoveDA")
    refused(lambda: LoveDA(tmp_path / "LoveDA", "train"), "existing splits: val")
    refused(lambda: LoveDA(tmp_path / "LoveDA", "test"), "never published")
    refused(lambda: LoveDA(tmp_path, "val"), "one level too high", tmp_path / "LoveDA")
    refused(lambda: LoveDA(tmp_path / "LoveDA" / "Val", "val"), "one level too low")
    path.unlink()
    refused(lambda: LoveDA(tmp_path / "LoveDA", "val"), path, "no labels for this image")


@pytest.mark.parametrize("made", ["Val", "Val/Urban"])
def test_incomplete_folders(tmp_path, made):
    (tmp_path / made).mkdir(parents=True)
    refused(lambda: LoveDA(tmp_path, "val"), tmp_path / "Val", "no such folder", "images_png")
