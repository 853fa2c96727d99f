"""A look at a few samples: what it finds before the work begins."""

import numpy as np
import pytest

from densevit.data.base import ClassificationSample, DataError, SegmentationSample
from densevit.data.checking import MOST, SAMPLES, check_samples, spread_indices
from helpers.made import refused


class Labels:
    """Samples whose labels are made from their index."""

    palette = np.zeros((3, 3), np.uint8)

    def __init__(self, length, values, classes=3):
        self.class_names = tuple("abcdefg"[:classes])
        self.length, self.values = length, values
        self.read = []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.read.append(index)
        labels = np.array([self.values(index)], np.uint8)
        return SegmentationSample(str(index), np.zeros((*labels.shape, 3), np.uint8), labels)


@pytest.mark.parametrize(("length", "count"), [(1, 4), (3, 4), (4, 4), (5, 4), (1000, 4), (1000, 50), (51, 50)])
def test_spread(length, count):
    indices = spread_indices(length, count)
    assert indices == sorted(set(indices))
    assert len(indices) == min(length, count)
    assert indices[0] == 0
    assert indices[-1] == length - 1 or length == 1
    if len(indices) > 2:
        gaps = np.diff(indices)
        assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("length", [1, 2, 100])
def test_good_data_costs_a_few_samples(length):
    data = Labels(length, lambda index: [0, 255, index % 3])
    check_samples(data)
    assert data.read == spread_indices(length, SAMPLES)


def test_no_samples():
    refused(lambda: check_samples(Labels(0, list)), "no samples", "the folder and the split")


def test_no_known_label():
    data = Labels(1000, lambda index: [255, 255])
    refused(lambda: check_samples(data), "none has a labeled pixel", "check the split")
    assert len(data.read) <= MOST + SAMPLES


def test_known_labels_that_come_late_are_enough():
    data = Labels(20, lambda index: [1 if index == 8 else 255])
    check_samples(data)
    assert 8 in data.read


def test_binary_masks_with_255():
    data = Labels(30, lambda index: [0, 255], classes=2)
    refused(lambda: check_samples(data), "of 30 samples", "store the second class as 1")
    check_samples(Labels(30, lambda index: [0, 255], classes=3))
    check_samples(Labels(30, lambda index: [0, 0], classes=2))
    check_samples(Labels(30, lambda index: [0, 255, 1 if index == 11 else 0], classes=2))


def test_what_reading_finds():
    def broken(index):
        raise DataError("x.png: labels are wrong")

    refused(lambda: check_samples(Labels(9, broken)), "x.png: labels are wrong")


def test_classification_reads_some():
    class Classes:
        class_names = ("a",)
        read: list[int] = []  # noqa: RUF012

        def __len__(self):
            return 100

        def __getitem__(self, index):
            self.read.append(index)
            return ClassificationSample("x", np.zeros((2, 2, 3), np.uint8), 0)

    data = Classes()
    check_samples(data)
    assert data.read == spread_indices(100, SAMPLES)
