"""`densevit masks`: what it writes, what it refuses. The model is one that sees blobs."""

import json

import numpy as np
import pytest

from densevit import imaging
from densevit.cli import masks as masking
from densevit.masks import RLE
from helpers import blobs, tiny


@pytest.fixture
def masks(densevit, monkeypatch):
    monkeypatch.setattr(masking, "load_model", lambda *arguments, **options: blobs.model())
    return lambda *arguments: densevit("masks", *arguments)


@pytest.fixture
def image(tmp_path):
    imaging.save(tiny.image(480, 640), tmp_path / "a.png")


def test_boxes(masks, written, image, tmp_path):
    done = masks("a.png", "--box", "40,60,300,400", "-b", "310,80,500,390", "--format", "json,overlay,png,rle")
    assert done.code == 0, done.err
    assert written(tmp_path / "out") == {
        "a.masks.jpg",
        "a.masks/0.png",
        "a.masks/1.png",
        "a.masks/masks.json",
        "a.rle.json",
        "a.masks.json",
    }
    assert "2 masks" in done.out
    said = json.loads((tmp_path / "out" / "a.rle.json").read_text())
    for index, annotation in enumerate(said["annotations"]):
        mask = imaging.read(tmp_path / "out" / "a.masks" / f"{index}.png")[..., 0] > 0
        assert np.array_equal(RLE.from_coco(annotation["segmentation"]).decode(), mask)
    report = json.loads((tmp_path / "out" / "a.masks.json").read_text())
    assert [len(row["polygons"]) > 0 for row in report["masks"]] == [True, True]


def test_points_are_one_object(masks, image):
    one = masks("a.png", "--point", "250,200", "--json")
    assert len(json.loads(one.out)["images"][0]["masks"]) == 3
    two = masks("a.png", "--point", "250,200", "--point", "400,90,0", "--json")
    assert len(json.loads(two.out)["images"][0]["masks"]) == 1
    best = masks("a.png", "--point", "250,200", "--multimask", "one", "--json")
    assert len(json.loads(best.out)["images"][0]["masks"]) == 1


def test_everything(masks, image, tmp_path):
    done = masks("a.png", "--everything", "--points-per-side", "8", "--json")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["images"][0]["masks"]) > 3
    assert (tmp_path / "out" / "a.masks.jpg").is_file()


def test_fewer_masks_than_before_leave_none_behind(masks, written, image, tmp_path):
    masks("a.png", "-b", "40,60,300,400", "-b", "310,80,500,390", "--format", "png")
    masks("a.png", "-b", "40,60,300,400", "--format", "png")
    assert written(tmp_path / "out") == {"a.masks/0.png", "a.masks/masks.json"}


def test_a_prompt_that_fits_one_image_only(masks, image, tmp_path):
    imaging.save(tiny.image(50, 60), tmp_path / "b.png")
    done = masks("a.png", "b.png", "--box", "300,200,400,300")
    assert done.code == 1
    (error,) = done.errors
    assert "b.png: box 0, (300, 200, 400, 300), lies outside" in error
    assert "cannot be written" not in error
    assert "60 x 50" in error
    assert (tmp_path / "out" / "a.masks.jpg").is_file()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give boxes"),
        (["--everything", "--box", "1,2,3,4"], "give boxes"),
        (["--box", "1,2,3"], "--box must be X0,Y0,X1,Y1"),
        (["--box", "1,2,3,nan"], "--box must be"),
        (["--point", "1,2,3"], "--point must be X,Y"),
        (["--point", "1"], "--point must be"),
        (["--box", "1,2,3,4", "--point", "1,2"], "cannot be combined"),
        (["--box", "1,2,3,4", "--format", "gif"], "--format must be"),
        (["--box", "1,2,3,4", "--multimask", "four"], "four"),
        (["--everything", "--points-per-side", "0"], "points_per_side must be"),
    ],
)
def test_wrong_use(masks, image, tmp_path, arguments, problem):
    done = masks("a.png", *arguments)
    assert done.code == 2
    (error,) = done.errors
    assert problem in error
    assert not (tmp_path / "out").exists()


def test_another_task_is_sent_to_its_verb(densevit, image):
    done = densevit("masks", "a.png", "--model", "sr-x2", "--everything")
    assert done.code == 2
    assert "use densevit upscale" in done.errors[0]
    done = densevit("upscale", "a.png", "--model", "sam-l0")
    assert "use densevit masks" in done.errors[0]
