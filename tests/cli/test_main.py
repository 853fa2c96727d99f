"""`densevit models`, `eval`, `train`, and what stands before the verb."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import densevit as package
from densevit.zoo import ZOO
from helpers import tiny

# reference/efficientvit.md, section 9
PARAMS = {
    "seg-b0-cityscapes": 706_691,
    "seg-b1-cityscapes": 4_803_443,
    "seg-b2-cityscapes": 15_323_779,
    "seg-b3-cityscapes": 39_603_155,
    "seg-l1-cityscapes": 40_242_227,
    "seg-l2-cityscapes": 52_607_923,
    "seg-b1-ade20k": 4_791_414,
    "seg-b2-ade20k": 15_293_382,
    "seg-b3-ade20k": 39_546_198,
    "seg-l1-ade20k": 40_409_526,
    "seg-l2-ade20k": 51_462_454,
}


# --- before the verb


def test_version_and_help(densevit):
    assert densevit("--version").out == f"densevit {package.__version__}\n"
    done = densevit("--help")
    assert done.code == 0
    assert all(verb in done.out for verb in ("segment", "models", "eval", "train"))
    assert densevit("paint").code == 2
    assert densevit("--paint").code == 2


def test_an_interruption_is_no_traceback(densevit, monkeypatch):
    def interrupt(texts, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("densevit.imaging.find_images", interrupt)
    done = densevit("segment", "x.png", "--model", tiny.graph())
    assert done.code == 130


# --- models


def test_models_json_is_the_contract(densevit):
    done = densevit("models", "--json")
    assert (done.code, done.err) == (0, "")
    rows = json.loads(done.out)
    assert [row["name"] for row in rows] == list(ZOO)
    for row in rows:
        assert {"name", "task", "params", "macs", "resolution", "published", "weights", "licence"} <= row.keys()
        assert row["task"] in ("segmentation", "classification", "promptable", "super_resolution")
        assert ("encoder_params" in row) == (row["task"] == "promptable")
        assert type(row["params"]) is int
        assert isinstance(row["macs"], int | float)
        height, width = row["resolution"]
        assert type(height) is type(width) is int
        assert isinstance(row["published"], dict)
        assert row["weights"] in ("bundled", "cached", "hub", "none")
        assert row["licence"] == "Apache-2.0"
        if row["name"] in PARAMS:
            assert row["params"] == PARAMS[row["name"]]
            assert row["weights"] in ("cached", "hub")


def test_models_is_a_table_for_people(densevit):
    done = densevit("models")
    assert done.code == 0
    head, *lines = done.out.splitlines()
    assert head.startswith("name")
    assert [line.split()[0] for line in lines] == list(ZOO)
    assert "0.71 M" in done.out
    assert "1024x2048" in done.out


# --- eval


@pytest.fixture
def camvid(tmp_path):
    """Two images, labeled as the small model would; some pixels are void."""
    (tmp_path / "camvid" / "val").mkdir(parents=True)
    (tmp_path / "camvid" / "valannot").mkdir()
    for seed in range(2):
        image = tiny.image(64, 96, seed=seed)
        labels = tiny.model().predict(image).labels.copy()
        labels[:5] = 11
        Image.fromarray(image).save(tmp_path / "camvid" / "val" / f"{seed}.png")
        Image.fromarray(labels).save(tmp_path / "camvid" / "valannot" / f"{seed}.png")
    return tmp_path / "camvid"


def evaluated(densevit, *arguments):
    done = densevit("eval", tiny.graph(), "--data", "camvid:camvid", *arguments)
    assert (done.code, done.err) == (0, "")
    return done


def test_eval_json_is_the_contract(densevit, camvid):
    report = json.loads(evaluated(densevit, "--json").out)
    assert report.keys() >= {"model", "data", "split", "runtime", "precision", "images", "metrics", "seconds"}
    assert (report["model"], report["data"], report["split"]) == ("tiny", "camvid:camvid", "val")
    assert (report["runtime"], report["precision"], report["images"]) == ("openvino", "fp32", 2)
    assert report["seconds"] >= 0
    metrics = report["metrics"]
    assert metrics.keys() >= {"miou", "pixel_accuracy", "iou_per_class"}
    assert list(metrics["iou_per_class"]) == list(tiny.manifest().class_names)
    assert metrics["pixel_accuracy"] == pytest.approx(100)
    assert metrics["miou"] == pytest.approx(100)
    assert all(value is None or value == pytest.approx(100) for value in metrics["iou_per_class"].values())


def test_eval_measures(densevit, camvid):
    # every second column of one of two images is something else
    path = camvid / "valannot" / "0.png"
    with Image.open(path) as image:
        labels = np.array(image)
    labels[5:, ::2] = (labels[5:, ::2] + 1) % 11
    Image.fromarray(labels).save(path)
    metrics = json.loads(evaluated(densevit, "--json").out)["metrics"]
    assert metrics["pixel_accuracy"] == pytest.approx(75)
    assert 30 < metrics["miou"] < 90


def test_eval_is_a_table_for_people(densevit, camvid):
    out = evaluated(densevit).out
    assert "mean IoU  100.00 %" in out
    assert "pixel accuracy  100.00 %" in out
    assert all(name in out for name in tiny.manifest().class_names)


@pytest.mark.parametrize("wrapped", [False, True])
def test_eval_with_a_class_map(densevit, camvid, tmp_path, wrapped):
    # both ways round: the labels are turned by one, and the map turns the model's
    for path in (camvid / "valannot").iterdir():
        with Image.open(path) as image:
            labels = np.array(image)
        Image.fromarray(np.where(labels == 11, 11, (labels + 1) % 11).astype(np.uint8)).save(path)
    turned = [(index + 1) % 11 for index in range(11)]
    text = json.dumps({"comment": "turned", "map": turned} if wrapped else turned)
    (tmp_path / "map.json").write_text(text)
    metrics = json.loads(evaluated(densevit, "--class-map", "map.json", "--json").out)["metrics"]
    assert metrics["pixel_accuracy"] == pytest.approx(100)
    assert json.loads(evaluated(densevit, "--json").out)["metrics"]["pixel_accuracy"] < 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[0, 1]", "2 entries, the model 11 classes"),
        (json.dumps([0] * 10 + [11]), r"integers in .*10"),
        (json.dumps([0] * 10 + [0.5]), "integers"),
        (json.dumps({"no map": []}), "JSON list"),
        (json.dumps({"map": "x"}), "JSON list"),
        ('"text"', "JSON list"),
        ("[0, 1", "cannot be read as a class map"),
        (None, "cannot be read as a class map"),
    ],
)
def test_class_maps_that_are_none(densevit, camvid, tmp_path, text, message):
    if text is not None:
        (tmp_path / "map.json").write_text(text)
    done = densevit("eval", tiny.graph(), "--data", "camvid:camvid", "--class-map", "map.json")
    assert done.code == 2
    (line,) = done.errors
    assert re.search(message, line)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("camvid", "KIND:PATH"),
        ("camvid:", "KIND:PATH"),
        ("mars:camvid", "unknown kind 'mars'; known: camvid"),
        ("camvid:nowhere", "nowhere/val: no such folder"),
    ],
)
def test_data_that_is_none(densevit, camvid, data, message):
    done = densevit("eval", tiny.graph(), "--data", data)
    assert done.code == 2
    (line,) = done.errors
    assert message in line


def test_data_that_is_damaged(densevit, camvid):
    (camvid / "valannot" / "1.png").unlink()
    (line,) = densevit("eval", tiny.graph(), "--data", "camvid:camvid").errors
    assert "1.png: no labels for this image" in line
    (camvid / "valannot" / "1.png").write_bytes(b"\x89PNG noise")
    (line,) = densevit("eval", tiny.graph(), "--data", "camvid:camvid").errors
    assert "valannot/1.png" in line
    (line,) = densevit("eval", tiny.graph(), "--data", "camvid:camvid", "--split", "test").errors
    assert "camvid/test" in line


def test_eval_refuses_unknown_models_and_values(densevit, camvid):
    for arguments in (
        ["mars", "--data", "camvid:camvid"],
        [tiny.graph(), "--data", "camvid:camvid", "--size", "huge"],
        [tiny.graph(), "--data", "camvid:camvid", "--precision", "int4"],
        [camvid / "no.onnx", "--data", "camvid:camvid"],
    ):
        done = densevit("eval", *arguments)
        assert done.code == 2
        assert len(done.errors) == 1


# --- train: what happens before the first step


def test_show_prints_the_options(densevit):
    done = densevit("train", "camvid", "--data", "data", "--out", "run", "--show")
    assert (done.code, done.err) == (0, "")
    options = dict(line.split("=", 1) for line in done.out.splitlines())
    assert {"steps", "batch", "learning_rate", "seed", "crop", "architecture"} <= options.keys()
    changed = densevit(
        *("train", "camvid", "--data", "data", "--out", "run", "--show"),
        *("--set", "steps=7", "--set", "learning-rate=0.5", "--set", "crop=64,96", "--set", "class_weights=false"),
    )
    new = dict(line.split("=", 1) for line in changed.out.splitlines())
    assert (new["steps"], new["learning_rate"], new["class_weights"]) == ("7", "0.5", "False")
    assert re.findall(r"\d+", new["crop"]) == ["64", "96"]
    untouched = options.keys() - {"steps", "learning_rate", "class_weights", "crop"}
    assert {key: options[key] for key in untouched} == {key: new[key] for key in untouched}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stepz=7", r"unknown option 'stepz'; known: .*steps"),
        ("steps", r"takes key=value, got 'steps'"),
        ("steps=many", "steps must be .*'many'"),
        ("steps=0", "steps must be at least 1"),
        ("precision=fp8", "precision must be one of auto, fp32"),
        ("class_weights=maybe", "true or false"),
        ("crop=64", "crop takes 2 values"),
    ],
)
def test_settings_that_are_none(densevit, setting, message):
    done = densevit("train", "camvid", "--data", "data", "--out", "run", "--set", setting, "--show")
    assert done.code == 2
    (line,) = done.errors
    assert re.search(message, line)


def test_unknown_recipes_list_the_known(densevit, tmp_path):
    done = densevit("train", "mars", "--data", "data", "--out", "run")
    assert done.code == 2
    (line,) = done.errors
    assert "unknown recipe 'mars'; known: camvid" in line
    (line,) = densevit("train", "mine.py", "--data", "data", "--out", "run").errors
    assert "mine.py: no such recipe file" in line
    assert not (tmp_path / "run").exists()


RECIPE = """
from dataclasses import dataclass
from pathlib import Path
from densevit.train.options import Options

@dataclass(frozen=True)
class Mine(Options):
    steps: int = 42
    color: str = "blue"

def recipe(data: Path, options: Mine):
    raise ValueError(f"asked for {data} in {options.color}")
"""


def test_a_recipe_may_be_a_file(densevit, tmp_path):
    (tmp_path / "mine.py").write_text(RECIPE)
    done = densevit("train", "mine.py", "--data", "data", "--out", "run", "--set", "color=red", "--show")
    assert (done.code, done.err) == (0, "")
    assert {"steps=42", "color=red", "seed=0"} <= set(done.out.splitlines())
    done = densevit("train", "mine.py", "--data", "there", "--out", "run")
    assert (done.code, done.errors) == (2, ["error: asked for there in blue"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"recipe\(data: Path, options: Options\)"),
        ("def recipe(data):\n    pass\n", "second parameter"),
        ("def recipe(data, options: int):\n    pass\n", "second parameter"),
    ],
)
def test_recipe_files_that_are_none(densevit, tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    done = densevit("train", "mine.py", "--data", "data", "--out", "run", "--show")
    assert done.code == 2
    (line,) = done.errors
    assert re.search(message, line)


def test_training_without_data_names_the_folder(densevit):
    done = densevit("train", "camvid", "--data", "nowhere", "--out", "run", "--set", "device=cpu")
    assert done.code == 2
    (line,) = done.errors
    assert "nowhere/train: no such folder" in line
