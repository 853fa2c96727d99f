"""Names and colors of the published data sets."""

import json

import numpy as np
import pytest

from densevit.core.classes import read_class_table


@pytest.mark.parametrize(("data_set", "count"), [("camvid", 11), ("cityscapes", 19), ("ade20k", 150)])
def test_tables(data_set, count):
    table = read_class_table(data_set)
    assert len(table.names) == len(table.colors) == count
    assert len(set(table.names)) == count
    assert all(name == name.strip() and name for name in table.names)
    assert table.palette.shape == (count, 3)
    assert table.palette.dtype == np.uint8
    assert [tuple(color) for color in table.palette.tolist()] == list(table.colors)


def test_the_order_is_that_of_the_networks_outputs():
    assert read_class_table("cityscapes").names[:3] == ("road", "sidewalk", "building")
    assert read_class_table("cityscapes").names[13] == "car"
    assert read_class_table("cityscapes").colors[0] == (128, 64, 128)
    assert read_class_table("ade20k").names[0] == "wall"
    camvid = "sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist"
    assert read_class_table("camvid").names == tuple(camvid.split(", "))


@pytest.mark.needs_shared
@pytest.mark.parametrize("data_set", ["cityscapes", "ade20k"])
def test_they_are_the_official_ones(shared, data_set):
    official = json.loads((shared / "reference" / "seg_classes.json").read_text())[data_set]
    assert list(read_class_table(data_set).names) == official["classes"]
    assert read_class_table(data_set).palette.tolist() == official["class_colors"]


def test_other_data_sets_are_refused():
    with pytest.raises(ValueError, match=r"'voc'; known: ade20k, camvid, cityscapes"):
        read_class_table("voc")
