"""SA-1B: images beside their masks."""

import numpy as np
import pytest

from densevit.data.sa1b import SA1B
from densevit.data.table import open_data
from densevit.masks import encode
from helpers.made import make_image, refused, save
from helpers.made_coco import write_json

MASK = np.zeros((20, 30), bool)
MASK[4:10, 5:25] = True


def contents() -> dict:
    annotation = {
        "id": 5,
        "segmentation": encode(MASK).to_coco(),
        "bbox": [5, 4, 19.0, 5.0],
        "area": 120,
        "predicted_iou": 0.9,
        "stability_score": 0.97,
        "crop_box": [0, 0, 30, 20],
        "point_coords": [[6.0, 6.0]],
    }
    image = {"image_id": 3, "height": 20, "width": 30, "file_name": "sa_3.jpg"}
    return {"image": image, "annotations": [annotation, {**annotation, "id": 6, "area": 0}]}


def write(folder, value=None):
    save(folder / "sa_3.jpg", make_image(20, 30))
    return write_json(folder / "sa_3.json", value or contents())


def test_samples(tmp_path):
    write(tmp_path / "sa_000000")
    data = SA1B(tmp_path, "train")
    assert len(data) == 1
    sample = data[0]
    assert (sample.name, sample.image_id) == ("sa_3.jpg", 3)
    assert sample.image.shape == (20, 30, 3)
    assert sample.masks == (encode(MASK),)
    np.testing.assert_array_equal(sample.boxes, [[5, 4, 24, 9]])
    assert (sample.areas.tolist(), sample.ids.tolist()) == ([120], [5])


def test_a_folder_of_the_split(tmp_path):
    write(tmp_path / "val")
    save(tmp_path / "train" / "sa_4.jpg", make_image())
    assert len(open_data(f"sa1b:{tmp_path}", "val")) == 1
    refused(lambda: SA1B(tmp_path, "train"), "sa_4.json: no labels", "unpack the whole archive")
    refused(lambda: SA1B(tmp_path / "val" / "none", "val"), "no such folder")
    (tmp_path / "other").mkdir()
    refused(lambda: SA1B(tmp_path / "other", "val"), "no sa_*.jpg", "it holds nothing")


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("image", "height", 21, "sa_3.jpg: is 30 x 20 px, but its annotations are for 30 x 21 px"),
        ("image", "width", "30", "sa_3.json.image: 'width' must be"),
        ("annotation", "segmentation", [[1, 2, 3, 4, 5, 6]], "annotations[0]: 'segmentation' must be an object"),
        (
            "annotation",
            "segmentation",
            {"size": [20, 30], "counts": "!"},
            "annotations[0]: the text of the mask's run lengths",
        ),
        (
            "annotation",
            "segmentation",
            {"size": [2, 3], "counts": "6"},
            "the mask is 3 x 2 px, but the image is 30 x 20 px",
        ),
        ("annotation", "area", None, "annotations[0]: 'area' must be a number"),
    ],
)
def test_annotations_that_are_none(tmp_path, part, field, value, message):
    wrong = contents()
    (wrong["image"] if part == "image" else wrong["annotations"][0])[field] = value
    write(tmp_path, wrong)
    data = SA1B(tmp_path, "val")
    refused(lambda: data[0], "sa_3", message)
