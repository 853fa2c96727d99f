"""Tiles: every pixel is shown, and counts once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.core.errors import UsageError
from densevit.data.base import SegmentationSample
from densevit.data.tiled import Tiled, split_axis
from densevit.imaging import Size


class Images:
    """Every pixel holds its own place; labels are 0..199, some 255."""

    class_names = tuple(map(str, range(200)))
    palette = np.zeros((200, 3), np.uint8)

    def __init__(self, *sizes):
        self.sizes = sizes
        self.read: list[int] = []

    def __len__(self):
        return len(self.sizes)

    def image_size(self, index):
        return Size(*self.sizes[index])

    def __getitem__(self, index):
        self.read.append(index)
        height, width = self.sizes[index]
        y, x = np.mgrid[:height, :width]
        image = np.stack([y, x, np.full_like(x, index)], axis=2).astype(np.uint8)
        labels = ((7 * y + 3 * x) % 200).astype(np.uint8)
        labels[::5] = 255
        return SegmentationSample(f"p{index}", image, labels)


sides = st.integers(1, 40)
tiles = st.integers(1, 25).flatmap(lambda tile: st.tuples(st.just(tile), st.integers(1, tile)))


@given(st.integers(1, 300), tiles)
def test_spans(length, tile_and_stride):
    tile, stride = tile_and_stride
    found = split_axis(length, tile, stride)
    shown, counted = np.zeros(length, int), np.zeros(length, int)
    for start, stop, first, last in found:
        assert 0 <= start <= first <= last <= stop <= length
        assert stop - start == min(tile, length)
        shown[start:stop] += 1
        counted[first:last] += 1
    assert shown.min() >= 1
    assert (counted == 1).all()
    # in order, one stride apart, but for the last, which is shifted inward
    starts = [span.start for span in found]
    assert starts[:-1] == [stride * index for index in range(len(starts) - 1)]
    assert starts[-1] == max(0, length - tile)
    assert len(starts) == 1 or 0 < starts[-1] - starts[-2] <= stride


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=3), tiles, st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_pixel_is_shown_and_counts_once(sizes, tile_and_stride, once):
    whole = Images(*sizes)
    tiled = Tiled(whole, *tile_and_stride, once=once)
    shown = [np.zeros(size, int) for size in sizes]
    counted = [np.zeros(size, int) for size in sizes]
    before = (0, 0, 0)
    for index in range(len(tiled)):
        sample = tiled[index]
        top, left, number = (int(level) for level in sample.image[0, 0])
        assert sample.name == f"p{number}_y{top}_x{left}"
        assert (number, top, left) >= before
        before = (number, top, left)
        height, width = sample.labels.shape
        assert (height, width) == tuple(min(tile_and_stride[0], side) for side in sizes[number])
        area = np.s_[top : top + height, left : left + width]
        np.testing.assert_array_equal(sample.image, whole[number].image[area])
        truth = whole[number].labels[area]
        if not once:
            np.testing.assert_array_equal(sample.labels, truth)
        kept = sample.labels != 255
        np.testing.assert_array_equal(sample.labels[kept], truth[kept])
        shown[number][area] += 1
        counted[number][area] += kept
    for number, (seen, count) in enumerate(zip(shown, counted, strict=True)):
        assert seen.min() >= 1
        known = whole[number].labels != 255
        assert (count[~known] == 0).all()
        assert (count[known] == (1 if once else seen[known])).all()


def test_overlaps_are_split_in_the_middle():
    assert split_axis(10, 4, 2) == [(0, 4, 0, 3), (2, 6, 3, 5), (4, 8, 5, 7), (6, 10, 7, 10)]
    assert split_axis(10, 4, 4) == [(0, 4, 0, 4), (4, 8, 4, 7), (6, 10, 7, 10)]
    assert split_axis(6000, 512, 512)[-1] == (5488, 6000, 5560, 6000)
    # the numbers that MMSegmentation's documentation gives for Potsdam: 3456 of 24 images
    assert 24 * len(split_axis(6000, 512, 512)) ** 2 == 3456


def test_a_image_is_read_once_in_order():
    whole = Images((20, 30), (5, 5), (20, 8))
    tiled = Tiled(whole, 8, 8)
    for index in range(len(tiled)):
        tiled[index]
    assert whole.read == [0, 1, 2]


def test_tiles_do_not_hold_the_image():
    sample = Tiled(Images((40, 40)), 8, 8)[0]
    assert sample.image.base is None
    assert sample.labels.base is None


@pytest.mark.parametrize(("tile", "stride"), [(0, 0), (8, 0), (8, 9), (8, -1)])
def test_strides_that_leave_gaps(tile, stride):
    with pytest.raises(UsageError, match=rf"tiles of {tile} pixels every {stride}"):
        Tiled(Images((20, 20)), tile, stride)


@pytest.mark.parametrize("index", [-1, 4])
def test_other_indices(index):
    with pytest.raises(IndexError, match="of 4"):
        Tiled(Images((16, 16)), 8, 8)[index]
