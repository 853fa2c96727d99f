"""The text of run lengths equals pycocotools', whatever the lengths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from densevit.masks import MaskError
from densevit.masks.compression import compress_counts, decompress_counts

ALL_LENGTHS_OF_TEXT = [0, 1, 15, 16, 17, 511, 512, 513, 1 << 20, 3, (1 << 29) - 1, 2, 1, 1 << 29, 7]


def test_pycocotools_writes_the_same():
    total = sum(ALL_LENGTHS_OF_TEXT)
    stored = coco.frPyObjects({"size": [total, 1], "counts": ALL_LENGTHS_OF_TEXT}, total, 1)
    assert compress_counts(np.array(ALL_LENGTHS_OF_TEXT, np.uint32)) == stored["counts"].decode()


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_round_trip(counts):
    text = compress_counts(np.array(counts, np.uint32))
    assert decompress_counts(text).tolist() == counts
    assert decompress_counts(text.encode()).tolist() == counts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/", "characters outside"),
        ("\ud800", "characters outside"),
        ("6o", "ends within"),
        ("ooooooo0", "8 characters"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(MaskError, match=message):
        decompress_counts(text)
