"""A detector's boxes, which need not be trusted."""

import numpy as np
import pytest

from densevit.data.detections import NO_DETECTIONS, read_detections
from helpers.made import refused
from helpers.made_coco import write_json

ONE = {"image_id": 7, "category_id": 2, "bbox": [1.5, 2, 10, 20], "score": 0.25}


def test_boxes_by_image(tmp_path):
    others = [{**ONE, "image_id": 9, "segmentation": "any"}, {**ONE, "score": 1, "bbox": [-1, 0, 0, 0]}]
    found = read_detections(write_json(tmp_path / "boxes.json", [ONE, *others]))
    assert list(found) == [7, 9]
    assert found[7].boxes.dtype == np.float32
    np.testing.assert_array_equal(found[7].boxes, [[1.5, 2, 11.5, 22], [-1, 0, -1, 0]])
    assert found[7].scores.tolist() == [0.25, 1]
    assert found[7].category_ids.tolist() == [2, 2]
    assert found[9].boxes.shape == (1, 4)
    assert NO_DETECTIONS.boxes.shape == (0, 4)


def test_none(tmp_path):
    assert read_detections(write_json(tmp_path / "boxes.json", [])) == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "is not JSON"),
        ({"annotations": []}, "must be a list of detections"),
        ([ONE, 3], "[1]: must be an object"),
        ([{**ONE, "bbox": [1, 2, 3]}], "[0]: 'bbox' must be"),
        ([{**ONE, "bbox": [1, 2, 3, float("inf")]}], "[0]: 'bbox' must be"),
        ([{**ONE, "image_id": 1.0}], "[0]: 'image_id' must be a whole number"),
        ([{**ONE, "category_id": -1}], "[0]: 'category_id' must be a whole number"),
        ([{**ONE, "score": None}], "[0]: 'score' must be a number, got None"),
    ],
)
def test_what_is_none(tmp_path, value, message):
    file = write_json(tmp_path / "boxes.json", value)
    refused(lambda: read_detections(file), file, message)


def test_no_file(tmp_path):
    refused(lambda: read_detections(tmp_path / "none.json"), "none.json: no such file")
