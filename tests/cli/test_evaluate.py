"""`densevit eval`: reports, refusals, kinds of data, published figures, several processes."""

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densevit import zoo
from densevit.cli import evaluate as evaluating
from helpers import tiny


@pytest.fixture
def camvid(tmp_path):
    """Eight images of two sizes, labeled as the small model would, but for some stripes."""
    for seed in range(8):
        image = tiny.image(64, 96 if seed % 2 else 80, seed=seed)
        labels = tiny.model().predict(image).labels.copy()
        labels[:, :: seed + 2] = (labels[:, :: seed + 2] + 1) % 11
        labels[:5] = 11
        for folder, array in (("val", image), ("valannot", labels)):
            (tmp_path / "camvid" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / "camvid" / folder / f"{seed}.png")
    return tmp_path / "camvid"


def report(done):
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def table(out: str) -> list[tuple[str, float]]:
    """The rows of the classes that occur."""
    rows = [line.rsplit(maxsplit=2) for line in out.splitlines() if line.endswith(" %")]
    return [(name.strip(), float(value)) for name, value, _ in rows if name.strip() in tiny.manifest().class_names]


# --- reports and refusals


@pytest.fixture
def small_camvid(tmp_path):
    """Two images, labeled as the small model labels them; some pixels are void."""
    (tmp_path / "camvid" / "val").mkdir(parents=True)
    (tmp_path / "camvid" / "valannot").mkdir()
    for seed in range(2):
        image = tiny.image(64, 96, seed=seed)
        labels = tiny.model().predict(image).labels.copy()
        labels[:5] = 11
        Image.fromarray(image).save(tmp_path / "camvid" / "val" / f"{seed}.png")
        Image.fromarray(labels).save(tmp_path / "camvid" / "valannot" / f"{seed}.png")
    return tmp_path / "camvid"


def evaluate(densevit, *arguments):
    done = densevit("eval", tiny.graph(), "--data", "camvid:camvid", *arguments)
    assert (done.code, done.err) == (0, "")
    return done


def test_eval_json_is_the_contract(densevit, small_camvid):
    report = json.loads(evaluate(densevit, "--json").out)
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


def test_eval_measures(densevit, small_camvid):
    # every second column of one of two images is something else
    path = small_camvid / "valannot" / "0.png"
    with Image.open(path) as image:
        labels = np.array(image)
    labels[5:, ::2] = (labels[5:, ::2] + 1) % 11
    Image.fromarray(labels).save(path)
    metrics = json.loads(evaluate(densevit, "--json").out)["metrics"]
    assert metrics["pixel_accuracy"] == pytest.approx(75)
    assert 30 < metrics["miou"] < 90


def test_eval_is_a_table_for_people(densevit, small_camvid):
    out = evaluate(densevit).out
    assert "mean IoU  100.00 %" in out
    assert "pixel accuracy  100.00 %" in out
    assert all(name in out for name in tiny.manifest().class_names)


@pytest.mark.parametrize("wrapped", [False, True])
def test_eval_with_a_class_map(densevit, small_camvid, tmp_path, wrapped):
    # both ways round: the labels are turned by one, and the map turns the model's
    for path in (small_camvid / "valannot").iterdir():
        with Image.open(path) as image:
            labels = np.array(image)
        Image.fromarray(np.where(labels == 11, 11, (labels + 1) % 11).astype(np.uint8)).save(path)
    turned = [(index + 1) % 11 for index in range(11)]
    text = json.dumps({"comment": "turned", "map": turned} if wrapped else turned)
    (tmp_path / "map.json").write_text(text)
    metrics = json.loads(evaluate(densevit, "--class-map", "map.json", "--json").out)["metrics"]
    assert metrics["pixel_accuracy"] == pytest.approx(100)
    assert json.loads(evaluate(densevit, "--json").out)["metrics"]["pixel_accuracy"] < 20


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        ("[0, 1]", "2 entries, the model 11 classes", 2),
        (json.dumps([0] * 10 + [11]), r"integers in .*10", 2),
        (json.dumps([0] * 10 + [0.5]), "integers", 2),
        (json.dumps({"no map": []}), "JSON list", 1),
        (json.dumps({"map": "x"}), "JSON list", 1),
        ('"text"', "JSON list", 1),
        ("[0, 1", "cannot be read as a class map", 1),
        (None, "cannot be read as a class map", 1),
    ],
)
def test_wrong_class_maps_are_refused(densevit, small_camvid, tmp_path, text, message, code):
    if text is not None:
        (tmp_path / "map.json").write_text(text)
    done = densevit("eval", tiny.graph(), "--data", "camvid:camvid", "--class-map", "map.json")
    assert done.code == code
    (line,) = done.errors
    assert re.search(message, line)


@pytest.mark.parametrize(
    ("data", "message", "code"),
    [
        ("camvid", "KIND:PATH", 2),
        ("camvid:", "KIND:PATH", 2),
        ("mars:camvid", "unknown kind 'mars'; known: camvid", 2),
        ("camvid:nowhere", "nowhere/val: no such folder", 1),
    ],
)
def test_missing_data_is_refused(densevit, small_camvid, data, message, code):
    done = densevit("eval", tiny.graph(), "--data", data)
    assert done.code == code
    (line,) = done.errors
    assert message in line


def test_damaged_data_is_refused(densevit, small_camvid):
    (small_camvid / "valannot" / "1.png").unlink()
    (line,) = densevit("eval", tiny.graph(), "--data", "camvid:camvid").errors
    assert "1.png: no labels for this image" in line
    (small_camvid / "valannot" / "1.png").write_bytes(b"\x89PNG noise")
    (line,) = densevit("eval", tiny.graph(), "--data", "camvid:camvid").errors
    assert "valannot/1.png" in line
    (line,) = densevit("eval", tiny.graph(), "--data", "camvid:camvid", "--split", "test").errors
    assert "camvid/test" in line


def test_eval_refuses_unknown_models_and_values(densevit, small_camvid):
    for arguments, code in (
        (["mars", "--data", "camvid:camvid"], 2),
        ([tiny.graph(), "--data", "camvid:camvid", "--size", "huge"], 2),
        ([tiny.graph(), "--data", "camvid:camvid", "--precision", "int4"], 2),
        ([small_camvid / "no.onnx", "--data", "camvid:camvid"], 1),
    ):
        done = densevit("eval", *arguments)
        assert done.code == code
        assert len(done.errors) == 1


@pytest.mark.parametrize(
    ("option", "value"), [("--prompt", "box"), ("--prompt", "point"), ("--clicks", "3"), ("--boxes", "boxes.json")]
)
@pytest.mark.parametrize("named", [True, False])
def test_options_of_promptable_models_are_refused_for_others(
    densevit, small_camvid, tmp_path, option, value, named
):
    (tmp_path / "boxes.json").write_text("[]")
    model = "seg-b0-cityscapes" if named else tiny.graph()
    done = densevit("eval", model, "--data", "camvid:camvid", option, value)
    assert (done.code, done.out) == (2, "")
    (line,) = done.errors
    assert f"{option} is for promptable models" in line
    assert f"leave {option} out" in line
    # what the message advises works
    if not named:
        evaluate(densevit)


def test_a_class_map_is_for_segmentation(densevit, tmp_path):
    (tmp_path / "map.json").write_text("[0]")
    done = densevit("eval", "sr-x2", "--data", "sr:nowhere", "--class-map", "map.json")
    assert done.code == 2
    assert "--class-map is for segmentation models" in done.errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clicks", "3"], "--clicks needs --prompt point"),
        (["--clicks", "3", "--prompt", "box"], "--clicks needs --prompt point"),
        (["--boxes", "boxes.json", "--prompt", "box"], "leave --prompt out"),
    ],
)
def test_options_that_contradict_each_other(densevit, tmp_path, arguments, message):
    (tmp_path / "boxes.json").write_text("[]")
    done = densevit("eval", "sam-l0", "--data", "coco:nowhere", *arguments)
    assert done.code == 2
    assert message in done.errors[0]


# --- kinds


def test_a_folder_of_the_users_own(densevit, camvid, tmp_path):
    (tmp_path / "own").mkdir()
    (camvid / "val").rename(tmp_path / "own" / "images")
    (camvid / "valannot").rename(tmp_path / "own" / "masks")
    for path in (tmp_path / "own" / "masks").iterdir():
        with Image.open(path) as image:
            labels = np.array(image)
        Image.fromarray(np.where(labels == 11, 255, labels).astype(np.uint8)).save(path)
    (tmp_path / "own" / "classes.txt").write_text("\n".join(tiny.manifest().class_names))
    own = report(densevit("eval", tiny.graph(), "--data", "folder:own", "--json"))
    assert own["images"] == 8
    assert 30 < own["metrics"]["miou"] < 95


def test_a_kind_of_another_task_names_those_that_fit(densevit, tmp_path):
    (tmp_path / "in" / "val" / "n01440764").mkdir(parents=True)
    Image.fromarray(tiny.image(8, 8)).save(tmp_path / "in" / "val" / "n01440764" / "x.png")
    done = densevit("eval", tiny.graph(), "--data", "imagenet:in")
    assert done.code == 2
    (line,) = done.errors
    assert "imagenet:in: kind imagenet does not fit tiny, whose task is segmentation" in line
    assert "kinds that fit: camvid, cityscapes, ade20k, folder, loveda, potsdam, vaihingen" in line


def test_wrong_labels_are_found_before_the_model_is_loaded(densevit, camvid, monkeypatch):
    monkeypatch.setattr(evaluating, "load_model", lambda *arguments, **options: pytest.fail("loaded"))
    Image.fromarray(np.full((64, 80), 33, np.uint8)).save(camvid / "valannot" / "0.png")
    done = densevit("eval", "seg-l2-cityscapes", "--data", "camvid:camvid")
    assert done.code == 1
    (line,) = done.errors
    assert "valannot/0.png: 5120 pixels of value 33 found" in line


def test_classes_best_first(densevit, camvid):
    done = densevit("eval", tiny.graph(), "--data", "camvid:camvid")
    assert (done.code, done.err) == (0, "")
    rows = table(done.out)
    assert len(rows) > 3
    assert [value for _, value in rows] == sorted((value for _, value in rows), reverse=True)
    lines = done.out.splitlines()
    assert all(line.endswith("absent") for line in lines[len(rows) : -3])
    assert "mean IoU" in lines[-3]


# --- published figures


@pytest.fixture
def published(monkeypatch):
    """The small model in the zoo, with a published figure."""
    entry = replace(zoo.find_model("seg-b0-camvid"), name="tiny", published={"miou": 81.25})
    monkeypatch.setitem(zoo.ZOO, "tiny", entry)


def test_published_beside_measured(densevit, camvid, published):
    arguments = ("eval", tiny.graph(), "--data", "camvid:camvid")
    assert report(densevit(*arguments, "--json"))["published"] == {
        "miou": 81.25,
        "but_on": ["--size published (exact:64x128)"],
    }
    (line,) = [line for line in densevit(*arguments).out.splitlines() if "published" in line]
    assert "mean IoU" in line
    assert "published 81.25 % (on --size published (exact:64x128))" in line
    (line,) = [
        line for line in densevit(*arguments, "--size", "published").out.splitlines() if "published 81" in line
    ]
    assert line.endswith("published 81.25 %")


def test_published_figures_are_of_their_data_and_split(densevit, camvid, published):
    for folder in ("val", "valannot"):
        (camvid / folder).rename(camvid / folder.replace("val", "test"))
    done = report(densevit("eval", tiny.graph(), "--data", "camvid:camvid", "--split", "test", "--json"))
    assert done["published"] is None


def test_models_outside_the_zoo_have_none(densevit, camvid):
    arguments = ("eval", tiny.graph(), "--data", "camvid:camvid")
    assert report(densevit(*arguments, "--json"))["published"] is None
    assert "published" not in densevit(*arguments).out


# --- several processes


def torchrun(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.run(
        [*command, "-m", "densevit", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=cwd,
        env=tiny.environment(),
    )


@pytest.mark.slow
def test_two_processes_give_the_score_of_one(densevit, camvid, tmp_path):
    (camvid / "val" / "7.png").unlink()
    (camvid / "valannot" / "7.png").unlink()
    arguments = ("eval", tiny.graph(), "--data", "camvid:camvid", "--json")
    alone = report(densevit(*arguments))
    done = torchrun(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    together = json.loads(done.stdout)
    assert together.keys() == alone.keys()
    assert together["images"] == alone["images"] == 7
    assert together["metrics"] == alone["metrics"]


@pytest.mark.slow
def test_an_error_in_one_process_ends_both(camvid, tmp_path):
    # an image that the look at some samples does not read, in the share of the second process
    (camvid / "valannot" / "3.png").write_bytes(b"noise")
    done = torchrun("eval", tiny.graph(), "--data", "camvid:camvid", "--json", cwd=tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "error: camvid/valannot/3.png" in done.stderr


def test_processes_without_torch_say_what_to_install(densevit, camvid, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    done = densevit("eval", tiny.graph(), "--data", "camvid:camvid")
    assert done.code == 1
    assert "pip install 'densevit[torch]'" in done.errors[0]


@pytest.mark.parametrize(("size", "message"), [("2", "RANK is not: start several"), ("two", "got 'two'")])
def test_processes_that_torchrun_did_not_start(densevit, camvid, monkeypatch, size, message):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", size)
    done = densevit("eval", tiny.graph(), "--data", "camvid:camvid")
    assert done.code == 2
    assert message in done.errors[0]
