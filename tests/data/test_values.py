"""Stored values and colors become classes, and nothing else does."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.core.classes import read_class_table
from densevit.data.base import DataError
from densevit.data.values import make_value_table, map_colors, map_values
from densevit.imaging.draw import colorize

PATH = Path("labels.png")
ISPRS = read_class_table("potsdam")


@given(st.dictionaries(st.integers(0, 255), st.integers(0, 253), max_size=20), st.sets(st.integers(0, 255)))
def test_a_table_holds_what_it_was_given(classes, ignored):
    table = make_value_table(classes, ignored=ignored)
    for value in range(256):
        expected = classes.get(value, 255 if value in ignored else 254)
        assert table[value] == expected


def test_other_values_are_named_and_counted():
    table = make_value_table({0: 0, 1: 1}, ignored=[9])
    values = np.array([[0, 1, 9], [7, 7, 3]], np.uint8)
    with pytest.raises(DataError, match=r"labels\.png: 3 pixels of value 3, 7 found, allowed are 0, 1"):
        map_values(values, table, path=PATH, allowed="allowed are 0, 1")
    assert map_values(values[:1], table, path=PATH, allowed="").tolist() == [[0, 1, 255]]
    many = np.arange(20, dtype=np.uint8)[None]
    with pytest.raises(DataError, match=r"of value 2, 3, 4, 5, 6, \.\.\. found"):
        map_values(many, table, path=PATH, allowed="")


@given(
    st.integers(1, 700).flatmap(
        lambda height: st.tuples(st.just(height), st.integers(1, 5), st.integers(0, 2**31), st.booleans())
    )
)
@settings(max_examples=30, deadline=None)
def test_colors_to_classes_and_back(case):
    height, width, seed, eroded = case
    labels = np.random.default_rng(seed).integers(0, 7 if eroded else 6, (height, width), dtype=np.uint8)
    labels[labels == 6] = 255
    # labels outside the palette are drawn black
    colors = colorize(labels, ISPRS.palette)
    ignored = ((0, 0, 0),) if eroded else ()
    back = map_colors(colors, ISPRS.colors, ignored=ignored, path=PATH)
    np.testing.assert_array_equal(back, labels)


def test_other_colors_are_counted_and_the_first_is_shown():
    colors = colorize(np.zeros((600, 3), np.uint8), ISPRS.palette)
    colors[550, 2] = (254, 255, 255)
    colors[551, 0] = (0, 0, 0)
    with pytest.raises(DataError, match=r"2 pixels .*\(254, 255, 255\) at x 2, y 550; allowed: \(255, 255, 255\)"):
        map_colors(colors, ISPRS.colors, path=PATH)
    with pytest.raises(DataError, match="1 pixel whose color is not a class"):
        map_colors(colors, ISPRS.colors, ignored=((0, 0, 0),), path=PATH)
