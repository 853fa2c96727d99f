"""Images without labels, and two sets as one."""

import numpy as np
import pytest
from PIL import Image

from densevit.core.errors import UsageError
from densevit.data.base import DataError, SegmentationSample
from densevit.data.unlabeled import ConcatenatedData, UnlabeledData


class Two:
    """Two labeled samples."""

    class_names = ("a", "b")
    palette = np.zeros((2, 3), np.uint8)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return SegmentationSample(f"own{index}", np.zeros((4, 6, 3), np.uint8), np.full((4, 6), index, np.uint8))


def test_labels_are_unknown_and_classes_those_of_the_other_set(tmp_path):
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (7, 5), (1, 2, 3)).save(tmp_path / "sub" / "x.png")
    (tmp_path / "notes.txt").write_text("no image")
    data = UnlabeledData(tmp_path, Two())
    assert len(data) == 1
    assert data.class_names == ("a", "b")
    sample = data[0]
    assert sample.image.shape == (5, 7, 3)
    assert sample.labels.shape == (5, 7)
    assert (sample.labels == 255).all()


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="no image"):
        UnlabeledData(tmp_path, Two())


def test_joined_sets_follow_each_other(tmp_path):
    Image.new("RGB", (7, 5)).save(tmp_path / "x.png")
    joined = ConcatenatedData(Two(), UnlabeledData(tmp_path, Two()))
    assert len(joined) == 3
    assert [joined[index].name for index in range(3)] == ["own0", "own1", "x"]


def test_sets_of_different_classes_are_not_joined():
    other = Two()
    other.class_names = ("a", "c")
    with pytest.raises(UsageError, match="different classes"):
        ConcatenatedData(Two(), other)
