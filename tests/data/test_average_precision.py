"""Average precision is pycocotools', and what does not fit the annotations is refused."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from densevit.data.average_precision import average_precision
from densevit.data.coco_tools import rasterize
from densevit.data.detections import MaskDetection
from densevit.imaging import Size
from densevit.masks import encode
from helpers.made import refused
from helpers.made_coco import ANNOTATIONS, contents, write_json

KEYS = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]


def disc(generator, size=(120, 150), largest=40) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    center = generator.uniform(20, 100, 2)
    return (y - center[0]) ** 2 + (x - center[1]) ** 2 < generator.uniform(4, largest) ** 2


def made(seed: int, *, largest: int = 40) -> tuple[dict, list[MaskDetection]]:
    """Discs as objects, and as detections those of them moved a little, some missing, some invented."""
    generator = np.random.default_rng(seed)
    images = [{"id": k, "file_name": f"{k}.jpg", "height": 120, "width": 150} for k in range(6)]
    annotations, detections = [], []
    for number in range(30):
        mask, image, category = disc(generator, largest=largest), int(generator.integers(6)), number % 3 + 1
        annotation = {
            "id": number,
            "image_id": image,
            "category_id": category,
            "segmentation": encode(mask).to_coco(compressed=number % 2 > 0),
            "bbox": [0, 0, 10, 10],
            "area": int(mask.sum()),
            "iscrowd": int(number % 10 == 9),
        }
        annotations.append(annotation)
        moved = np.roll(mask, generator.integers(-3, 4, 2), (0, 1))
        if generator.random() < 0.8:
            detections.append(MaskDetection(image, category, float(generator.random()), encode(moved)))
        if generator.random() < 0.3:
            invented = encode(disc(generator, largest=largest))
            detections.append(MaskDetection(image, category, float(generator.random()), invented))
    categories = [{"id": k, "name": str(k)} for k in (1, 2, 3)]
    return {"images": images, "annotations": annotations, "categories": categories}, detections


def by_their_tools(file, detections: list[MaskDetection]) -> np.ndarray:
    results = [
        {
            "image_id": one.image_id,
            "category_id": one.category_id,
            "score": one.score,
            "segmentation": one.mask.to_coco(),
        }
        for one in detections
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(file)
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:6]


@pytest.mark.parametrize("seed", range(3))
def test_equals_their_tools(tmp_path, seed, capsys):
    value, detections = made(seed)
    for annotation in value["annotations"]:
        annotation["id"] += 1  # theirs do not count matches with the number 0
    file = write_json(tmp_path / "a.json", value)
    got = average_precision(file, detections)
    assert list(got) == KEYS
    assert capsys.readouterr().out == ""
    expected = by_their_tools(file, detections)
    assert 20 < got["ap"] < 95
    ours = [-1 if got[key] is None else got[key] / 100 for key in KEYS]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_numbers_of_annotations_do_not_matter(tmp_path):
    value, detections = made(0)
    first = average_precision(write_json(tmp_path / "a.json", value), detections)
    for annotation in value["annotations"]:
        annotation["id"] += 100
    assert average_precision(write_json(tmp_path / "b.json", value), detections) == first


def test_sizes_that_do_not_occur_and_nothing_found(tmp_path):
    value, detections = made(0, largest=10)
    file = write_json(tmp_path / "a.json", value)
    got = average_precision(file, detections)
    assert got["ap_small"] is not None
    assert got["ap_large"] is None
    assert average_precision(file, []) == {key: None if got[key] is None else 0.0 for key in KEYS}


def test_polygons(tmp_path):
    file = write_json(tmp_path / "a.json", contents())
    mask = rasterize(ANNOTATIONS[2]["segmentation"], Size(30, 20))
    # one of two objects of its category, none of the one of the other: recall 0 .. 0.5, at 51 of 101 places
    assert average_precision(file, [MaskDetection(9, 1, 0.5, mask)])["ap50"] == pytest.approx(50 * 51 / 101)


def test_what_does_not_fit(tmp_path):
    file = write_json(tmp_path / "a.json", contents())
    mask = encode(np.ones((30, 20), bool))
    refused(lambda: average_precision(file, [MaskDetection(8, 1, 0.5, mask)]), "image 8", file)
    refused(lambda: average_precision(file, [MaskDetection(9, 8, 0.5, mask)]), "category 8", file)
    refused(
        lambda: average_precision(file, [MaskDetection(7, 1, 0.5, mask)]), "20 x 30 px, but image 7 is 60 x 40 px"
    )
    lvis = contents()
    lvis["images"][0]["neg_category_ids"] = [1]
    refused(lambda: average_precision(write_json(file, json.dumps(lvis)), []), "images[0]", "this is LVIS")
