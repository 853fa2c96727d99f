"""COCO and LVIS: masks, boxes and areas as annotated; whatever is not as it should be is named."""

import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as tools
from pycocotools.coco import COCO

from densevit.core.errors import UnavailableError
from densevit.data.checking import check_samples
from densevit.data.coco import Coco, Lvis
from densevit.data.table import open_data
from helpers.made import make_image, refused, save
from helpers.made_coco import ANNOTATIONS, IMAGES, contents, write, write_json


def test_samples(tmp_path):
    write(tmp_path)
    data = Coco(tmp_path, "val")
    assert len(data) == 3
    assert data.annotations == tmp_path / "annotations" / "instances_val2017.json"
    sample = data[0]
    assert (sample.name, sample.image_id) == ("000007.png", 7)
    np.testing.assert_array_equal(sample.image, make_image(40, 60))
    assert sample.ids.tolist() == [11, 12]
    assert sample.areas.tolist() == [460.125, 200]
    assert sample.boxes.dtype == np.float32
    np.testing.assert_array_equal(sample.boxes, [[10, 5, 50, 39], [10, 0, 15, 40]])
    runs = tools.merge(tools.frPyObjects(ANNOTATIONS[0]["segmentation"], 40, 60))
    assert sample.masks[0].to_coco()["counts"] == runs["counts"].decode()
    assert sample.masks[1].decode()[:, 10:15].all()
    assert sample.masks[1].area == 200


def test_objects_without_area_and_images_without_objects(tmp_path):
    write(tmp_path)
    data = Coco(tmp_path, "val")
    assert data[1].ids.tolist() == [13]
    assert data[2].masks == ()
    assert data[2].boxes.shape == (0, 4)
    assert data[2].areas.shape == data[2].ids.shape == (0,)
    assert [Coco(tmp_path, "val", empty=False)[index].image_id for index in range(2)] == [7, 9]


def test_kinds(tmp_path):
    write(tmp_path, split="train")
    data = open_data(f"coco:{tmp_path}", "train")
    assert isinstance(data, Coco)
    check_samples(data)


def test_lvis_has_its_images_where_coco_has_them(tmp_path):
    lvis = contents()
    for image, folder in zip(lvis["images"], ("train2017", "val2017", "train2017"), strict=True):
        name = image.pop("file_name")
        image["coco_url"] = f"http://images.cocodataset.org/{folder}/{name}"
        save(tmp_path / folder / name, make_image(image["height"], image["width"]))
    for annotation in lvis["annotations"]:
        del annotation["iscrowd"]
    write_json(tmp_path / "annotations" / "lvis_v1_val.json", lvis)
    data = open_data(f"lvis:{tmp_path}", "val")
    assert isinstance(data, Lvis)
    assert [data[index].name for index in range(2)] == ["train2017/000007.png", "val2017/000009.png"]
    refused(lambda: Lvis(tmp_path, "train"), "lvis_v1_train.json", "existing splits: val")

    for url in ("http://x/../000007.png", "000007.png", "val2017/../a.png", "val2017/", "val2017/a.txt", 7):
        lvis["images"][0]["coco_url"] = url
        write_json(tmp_path / "annotations" / "lvis_v1_val.json", lvis)
        refused(lambda: Lvis(tmp_path, "val"), "images[0]", "'coco_url' must be")


def test_images_are_taken_as_they_are_stored(tmp_path):
    write(tmp_path)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(make_image(40, 60)).save(tmp_path / "val2017" / "000007.png", exif=turned)
    np.testing.assert_array_equal(Coco(tmp_path, "val")[0].image, make_image(40, 60))


def test_folders_that_are_not_there(tmp_path):
    write(tmp_path / "coco")
    refused(lambda: Coco(tmp_path, "val"), "one level too high", tmp_path / "coco")
    refused(lambda: Coco(tmp_path / "coco", "test"), "instances_test2017.json", "existing splits: val")
    (tmp_path / "coco" / "annotations" / "instances_test2017.json").write_text("{}")
    refused(lambda: Coco(tmp_path / "coco", "test"), "test2017: no such folder")
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").rename(tmp_path / "moved.json")
    refused(lambda: Coco(tmp_path / "coco", "val"), "looked for annotations/instances_val2017.json")


def test_missing_images(tmp_path):
    write(tmp_path)
    (tmp_path / "val2017" / "000009.png").unlink()
    refused(lambda: Coco(tmp_path, "val"), "000009.png: no such file", "1 of 3", "fetch them")


def test_without_pycocotools(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(
        lambda: Coco(tmp_path, "val"),
        "needs pycocotools",
        "pip install 'densevit[coco]'",
        error_type=UnavailableError,
    )


def changed(part: str, index: int, **fields: object) -> dict:
    """The contents with some fields of an entry replaced, or left out where None."""
    value = contents()
    value[part][index].update(fields)
    for name, given in fields.items():
        if given is None:
            del value[part][index][name]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must be an object"),
        ('{"images": 3}', "'images' must be a list, got 3"),
        ('{"images": []}', "'categories' must be a list, got nothing"),
        ('{"images": [3]}', "images[0]: must be an object, got 3"),
        (
            changed("images", 1, height=None),
            "images[1]: 'height' must be a whole number in 1..100000",
        ),
        (changed("images", 1, width=10**6), "images[1]: 'width' must be a whole number"),
        (changed("images", 1, id=True), "images[1]: 'id' must be a whole number"),
        (changed("images", 1, id=2**63), "images[1]: 'id' must be a whole number"),
        (changed("images", 1, id=7), "images[1]: 'id' must be different"),
        (changed("images", 0, file_name=3), "images[0]: 'file_name' must be text"),
        (changed("images", 0, file_name="../000007.png"), "images[0]: 'file_name' must be an image's file name"),
        (changed("images", 0, file_name="/etc/a.png"), "'file_name' must be an image's file name"),
        (changed("images", 0, file_name="..\\a.png"), "'file_name' must be an image's file name"),
        (changed("images", 0, file_name="C:a.png"), "'file_name' must be an image's file name"),
        (changed("images", 0, file_name="a\n.png"), "'file_name' must be an image's file name"),
        (changed("images", 0, file_name="passwd"), "'file_name' must be an image's file name"),
        (changed("categories", 0, id="1"), "categories[0]: 'id' must be"),
        (changed("annotations", 0, image_id=8), "annotations[0]: 'image_id' must be the id of one of the images"),
        (changed("annotations", 0, category_id=8), "'category_id' must be the id of one of the categories, got 8"),
        (changed("annotations", 1, id=11), "annotations[1]: 'id' must be different"),
        (changed("annotations", 1, area=-1), "annotations[1]: 'area' must be a number of at least 0, got -1"),
        (changed("annotations", 1, area=float("nan")), "'area' must be a number"),
        (changed("annotations", 1, area="3"), "'area' must be a number"),
        (changed("annotations", 1, bbox=[1, 2, 3]), "'bbox' must be [x, y, width, height]"),
        (changed("annotations", 1, bbox=[1, 2, 3, -1]), "'bbox' must be [x, y, width, height]"),
        (changed("annotations", 1, bbox=[1, 2, 3, 1e40]), "'bbox' must be [x, y, width, height]"),
        (changed("annotations", 1, iscrowd=2), "'iscrowd' must be a whole number in 0..1"),
        (changed("annotations", 1, segmentation="x"), "'segmentation' must be polygons or run lengths"),
    ],
)
def test_annotations_that_are_none(tmp_path, value, message):
    file = write(tmp_path, value)
    refused(lambda: Coco(tmp_path, "val"), file, message)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "must have at least one polygon"),
        ([[1, 2, 3, 4]], "at least three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "at least three points"),
        ([{"size": [40, 60], "counts": [2400]}], "at least three points"),
        ([[1, 2, 3, 4, 5, None]], "at least three points"),
        ([[1, 2, 3, 4, 5, float("inf")]], "at least three points"),
        ([[1, 2, 3, 4, 5, 1e9]], "the image is 60 x 40 px"),
        ([[0, 0, 0, 110] * 20_000], "pixels long"),
        ({"counts": [2400]}, "'size' and 'counts'"),
        ({"size": [40, 60], "counts": [2399]}, "sum up to 2399"),
        ({"size": [60, 40], "counts": [2400]}, "the mask is 40 x 60 px, but the image is 60 x 40 px"),
    ],
)
def test_outlines_that_are_none(tmp_path, segmentation, message):
    file = write(tmp_path, changed("annotations", 0, segmentation=segmentation))
    data = Coco(tmp_path, "val")
    refused(lambda: data[0], file, "annotations[0]", message)


def test_images_of_another_size(tmp_path):
    write(tmp_path, changed("images", 0, height=41))
    data = Coco(tmp_path, "val")
    refused(lambda: data[0], "000007.png: is 60 x 40 px, but its annotations are for 60 x 41 px")


def test_files_too_large(tmp_path, monkeypatch):
    file = write(tmp_path)
    monkeypatch.setattr("densevit.data.instances._MOST_BYTES", 100)
    refused(lambda: Coco(tmp_path, "val"), file, "limit of 100")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' decode
def test_masks_are_those_of_pycocotools(tmp_path, capsys):
    file = write(tmp_path)
    theirs = COCO(file)
    data = Coco(tmp_path, "val")
    for index in range(len(IMAGES)):
        sample = data[index]
        for number, mask in zip(sample.ids, sample.masks, strict=True):
            np.testing.assert_array_equal(mask.decode(), theirs.annToMask(theirs.anns[number]).astype(bool))
