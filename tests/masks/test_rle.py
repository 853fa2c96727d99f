"""Run lengths equal those of pycocotools, survive a round trip, and refuse values that are not a mask."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from densevit.masks import RLE, MaskError, encode, encode_window, intersection, iou
from helpers.shapes import MASKS, blobs

BLOBS = [blobs(60, 80, seed=seed) for seed in range(6)]


def theirs(mask: np.ndarray) -> dict:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def rle(size, *counts) -> RLE:
    return RLE(size, np.array(counts, np.uint32))


@given(MASKS)
def test_encode_and_decode(mask):
    ours = encode(mask)
    np.testing.assert_array_equal(ours.decode(), mask)
    assert ours.decode().flags.c_contiguous
    assert ours.to_coco() == theirs(mask)
    assert RLE.from_coco(ours.to_coco()) == ours
    assert RLE.from_coco(ours.to_coco(compressed=False)) == ours


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' decode
@pytest.mark.parametrize("mask", BLOBS)
def test_both_ways_with_pycocotools(mask):
    ours = encode(mask)
    stored = json.loads(json.dumps(ours.to_coco()))
    np.testing.assert_array_equal(coco.decode(stored).astype(bool), mask)
    assert coco.frPyObjects(ours.to_coco(compressed=False), *mask.shape)["counts"].decode() == stored["counts"]
    assert RLE.from_coco(coco.encode(np.asfortranarray(mask.astype(np.uint8)))) == ours


@given(MASKS)
def test_area_and_box(mask):
    ours = encode(mask)
    x, y, width, height = coco.toBbox(ours.to_coco())
    assert ours.area == coco.area(ours.to_coco()) == mask.sum()
    if mask.any():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert ours.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert ours.box == (x, y, x + width, y + height)
    else:
        assert ours.box == (0, 0, 0, 0)


def test_empty_runs_do_not_count():
    ours = rle((2, 3), 0, 0, 3, 0, 1, 2)
    assert ours.area == 2
    assert ours.box == (2, 0, 3, 2)
    np.testing.assert_array_equal(ours.decode(), [[0, 0, 1], [0, 0, 1]])
    assert intersection(ours, encode(np.ones((2, 3), bool))) == 2


@given(MASKS, st.data())
def test_a_window(window, data):
    above, below, left, right = (data.draw(st.integers(0, 3)) for _ in range(4))
    mask = np.pad(window, ((above, below), (left, right)))
    assert encode_window(window, above, left, mask.shape) == encode(mask)


def test_a_window_of_another_layout():
    window = np.asfortranarray(BLOBS[0])[5:30, 10:40]
    assert encode_window(window, 2, 3, (90, 90)) == encode_window(window.copy(), 2, 3, (90, 90))


@given(st.data())
def test_intersection(data):
    first = data.draw(MASKS)
    second = data.draw(st.permutations(first.ravel().tolist()).map(lambda v: np.reshape(v, first.shape)))
    assert intersection(encode(first), encode(second)) == (first & second).sum()
    union = (first | second).sum()
    assert iou(encode(first), encode(second)) == ((first & second).sum() / union if union else 0)


@pytest.mark.parametrize("second", BLOBS[1:])
def test_iou(second):
    ours, other = encode(BLOBS[0]), encode(second)
    (expected,) = coco.iou([ours.to_coco()], [other.to_coco()], [0])[0]
    assert iou(ours, other) == expected
    assert iou(other, ours) == expected


def test_equality_and_immutability():
    first, second = encode(BLOBS[0]), encode(BLOBS[0])
    assert first == second
    assert hash(first) == hash(second)
    assert first != encode(BLOBS[1])
    assert first != "mask"
    with pytest.raises(ValueError, match="read-only"):
        first.counts[0] = 1


def test_other_arrays_and_counts_are_refused():
    with pytest.raises(MaskError, match=r"bool \(H, W\)"):
        encode(np.zeros((3, 3), np.uint8))
    with pytest.raises(MaskError, match="not empty"):
        encode(np.zeros((0, 3), bool))
    with pytest.raises(MaskError, match="is not within a mask of 4 x 4 px"):
        encode_window(np.ones((3, 3), bool), 2, 0, (4, 4))
    with pytest.raises(MaskError, match="is not within a mask of 4 x 4 px"):
        encode_window(np.ones((3, 3), bool), 0, -1, (4, 4))
    with pytest.raises(MaskError, match="sum up to 5"):
        rle((2, 3), 5)
    with pytest.raises(MaskError, match="uint32"):
        RLE((2, 3), np.array([6]))
    with pytest.raises(MaskError, match="runs in a mask"):
        rle((1, 1), 0, 0, 0, 1)
    with pytest.raises(MaskError, match="allowed: 1 to"):
        rle((1 << 20, 1 << 20), 5)
    with pytest.raises(MaskError, match="different sizes"):
        iou(rle((2, 3), 6), rle((3, 2), 6))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "an object"),
        ({"size": [2, 3]}, "'size' and 'counts'"),
        ({"size": 6, "counts": [6]}, r"\[height, width\]"),
        ({"size": [2, 3.0], "counts": [6]}, "whole numbers"),
        ({"size": [True, 6], "counts": [6]}, "whole numbers"),
        ({"size": [0, 3], "counts": []}, "allowed: 1 to"),
        ({"size": [60_000, 60_000], "counts": [3_600_000_000]}, "allowed: 1 to 178,000,000 pixels"),
        ({"size": [2, 3], "counts": 6}, "a text or a list"),
        ({"size": [2, 3], "counts": [6.0]}, "whole numbers in 0..6"),
        ({"size": [2, 3], "counts": [-1, 7]}, "whole numbers in 0..6"),
        ({"size": [2, 3], "counts": [2**70]}, "whole numbers in 0..6"),
        ({"size": [2, 3], "counts": [0] * 9}, "9 entries"),
        ({"size": [2, 3], "counts": "0" * 99}, "99 entries"),
        ({"size": [2, 3], "counts": [5]}, "sum up to 5"),
        ({"size": [2, 3], "counts": ""}, "sum up to 0"),
        ({"size": [2, 3], "counts": "5"}, "sum up to 5"),
        ({"size": [2, 3], "counts": "/"}, "characters outside"),
        ({"size": [2, 3], "counts": "é"}, "characters outside"),
        ({"size": [2, 3], "counts": "€"}, "characters outside"),
        ({"size": [2, 3], "counts": "6o"}, "ends within a number"),
        ({"size": [2, 3], "counts": "ooooooo0"}, "8 characters"),
        ({"size": [2, 3], "counts": "@"}, "run lengths -16"),
        ({"size": [2, 3], "counts": "7"}, r"run lengths 7\.\.7"),
    ],
)
def test_untrusted_values(value, message):
    with pytest.raises(MaskError, match=message) as error:
        RLE.from_coco(value)
    assert "\n" not in str(error.value)


@given(st.text(alphabet=[chr(48 + code) for code in range(64)], max_size=30))
def test_any_text_is_a_mask_or_refused(text):
    try:
        ours = RLE.from_coco({"size": [4, 5], "counts": text})
    except MaskError:
        return
    assert ours.counts.sum() == 20
    assert RLE.from_coco(ours.to_coco()) == ours


def test_repr_and_messages_name_the_width_first():
    assert repr(rle((2, 3), 6)) == "RLE(3 x 2 px, 1 runs)"
    with pytest.raises(MaskError, match="sum up to 5, the mask is 3 x 2 px"):
        rle((2, 3), 5)
    with pytest.raises(MaskError, match="different sizes: 3 x 2 px and 2 x 3 px"):
        iou(rle((2, 3), 6), rle((3, 2), 6))
