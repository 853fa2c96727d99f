"""`densevit classify`: what it writes and says, and that one bad image is no reason to drop the next."""

import json
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import densevit as package
from densevit.checkpoints.names import official_name
from densevit.core.classes import read_class_table
from densevit.variants import CLASSIFICATION
from helpers import tiny
from test_torch_free_verbs import NAMES, classifier, classifier_file, classifier_graph


@pytest.fixture
def classify(densevit):
    """`densevit classify ...` with the small classifier in PyTorch, which is quicker than to export it."""

    def run(*arguments: object):
        return densevit(
            "classify", "--model", classifier_file(), "--runtime", "eager", "--device", "cpu", *arguments
        )

    return run


@pytest.fixture(scope="module")
def model():
    return package.load(classifier_file(), runtime="eager", device="cpu", threads=1)


def photo(path: Path, height: int = 70, width: int = 90, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tiny.image(height, width, seed=seed)).save(path)
    return path


def check_guesses(row: dict, result, count: int) -> None:
    """The row names what the model says."""
    best = result.top(count)
    assert [(guess["index"], guess["name"]) for guess in row["top"]] == [(g.index, g.name) for g in best]
    assert [guess["probability"] for guess in row["top"]] == pytest.approx(
        [guess.probability for guess in best], abs=1e-5
    )


# --- what it does


def test_a_line_per_image_with_names_and_percent(classify, model, tmp_path, written):
    photo(tmp_path / "in" / "a.png")
    photo(tmp_path / "in" / "b.png", seed=1)
    done = classify("in")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert len(lines) == 2
    for name, line in zip(("a.png", "b.png"), lines, strict=True):
        assert name in line
        guesses = model.predict(tmp_path / "in" / name).top(7)
        places = [line.index(f"{guess.name} {100 * guess.probability:.1f} %") for guess in guesses[:5]]
        assert places == sorted(places)
        assert not any(guess.name in line for guess in guesses[5:])
    # without --out nothing is written
    assert written(tmp_path) == {"in/a.png", "in/b.png"}


def test_json_is_all_there_is_on_stdout(classify, model, tmp_path):
    photo(tmp_path / "in" / "a.png")
    photo(tmp_path / "in" / "b.png", 33, 35, seed=1)
    done = classify("in", "--json", "--precision", "fp32")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert report["model"] == "tiny-classifier"
    assert (report["runtime"], report["precision"], report["device"]) == ("eager", "fp32", "cpu")
    assert report["failed"] == 0
    assert report["seconds"] >= 0
    a, b = report["images"]
    assert (Path(a["source"]).name, a["height"], a["width"]) == ("a.png", 70, 90)
    assert (Path(b["source"]).name, b["height"], b["width"]) == ("b.png", 33, 35)
    for row in (a, b):
        assert len(row["top"]) == 5
        assert "written" not in row
        assert "error" not in row
        check_guesses(row, model.predict(row["source"]), 5)


@pytest.mark.parametrize(("top", "count"), [(1, 1), (2, 2), (7, 7), (1000, 7)])
def test_how_many_classes_are_named(classify, model, tmp_path, top, count):
    photo(tmp_path / "x.png")
    (row,) = json.loads(classify("x.png", "--top", top, "--json", "--out", "out").out)["images"]
    assert len(row["top"]) == count
    check_guesses(row, model.predict(tmp_path / "x.png"), top)
    if count == 7:
        assert sum(guess["probability"] for guess in row["top"]) == pytest.approx(1, abs=1e-5)
    (path,) = row["written"]
    assert json.loads(Path(path).read_text())["top"] == row["top"]
    (line,) = classify("x.png", "--top", top).out.splitlines()
    assert sum(name in line for name in NAMES) == count


def test_out_gets_a_file_per_image_and_keeps_sub_folders(classify, model, tmp_path, written):
    for seed, name in enumerate(("a/x.jpg", "b/x.jpg", "b/deep/y.png", "b/deep/y.jpg")):
        photo(tmp_path / "in" / name, seed=seed)
    done = classify("in", "--out", "made/here", "--json")
    assert (done.code, done.err) == (0, "")
    assert written(tmp_path / "made" / "here") == {
        "a/x.classification.json",
        "b/x.classification.json",
        "b/deep/y.png.classification.json",
        "b/deep/y.jpg.classification.json",
    }
    rows = json.loads(done.out)["images"]
    assert len(rows) == 4
    for row in rows:
        (path,) = row["written"]
        assert json.loads(Path(path).read_text()) == {key: row[key] for key in ("height", "width", "top")}
        check_guesses(row, model.predict(row["source"]), 5)


def test_results_are_replaced_and_are_no_sources(classify, tmp_path, written):
    photo(tmp_path / "x.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.classification.json").write_text("old")
    photo(tmp_path / "out" / "image.png", seed=1)
    done = classify(".", "--out", "out", "--json")
    assert done.code == 0
    assert [Path(row["source"]).name for row in json.loads(done.out)["images"]] == ["x.png"]
    assert json.loads((tmp_path / "out" / "x.classification.json").read_text())["height"] == 70
    assert written(tmp_path / "out") == {"x.classification.json", "image.png"}


def test_patterns_and_duplicates(classify, tmp_path):
    for name in ("x.jpg", "x.png", "y.png"):
        photo(tmp_path / "in" / name)
    done = classify("in/*.png", "in/x.jpg", "in/x.png", "in/../in/x.png", "--json")
    assert done.code == 0
    assert len(json.loads(done.out)["images"]) == 3


@pytest.mark.parametrize("size", ["published", "short:64", "native", "exact:32x64"])
def test_the_working_size_is_an_option(classify, model, tmp_path, size):
    photo(tmp_path / "x.png", 100, 160)
    (row,) = json.loads(classify("x.png", "--size", size, "--json", "--top", "7").out)["images"]
    sized = package.load(classifier_file(), runtime="eager", device="cpu", size=size, threads=1)
    check_guesses(row, sized.predict(tmp_path / "x.png"), 7)
    usual = model.predict(tmp_path / "x.png").top(7)
    assert [guess["probability"] for guess in row["top"]] != pytest.approx(
        [guess.probability for guess in usual], abs=1e-3
    )


def test_a_graph_file_gives_the_same(densevit, model, tmp_path):
    photo(tmp_path / "x.png")
    done = densevit("classify", "x.png", "--model", classifier_graph(), "--json", "--top", "7")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert (report["model"], report["runtime"], report["device"]) == ("tiny-classifier", "openvino", "cpu")
    assert report["precision"] == "fp32"
    (row,) = report["images"]
    expected = model.predict(tmp_path / "x.png").probabilities()
    got = {guess["index"]: guess["probability"] for guess in row["top"]}
    assert [got[index] for index in range(7)] == pytest.approx(expected, abs=1e-3)


def test_named_weights_are_used(densevit, tmp_path):
    """A published model's name with a file of its tensors: names of ImageNet, its crop, its size."""
    network = classifier(classes=1000)
    table = CLASSIFICATION["cls-b0"]
    torch.save(
        {official_name(key, table): value for key, value in network.state_dict().items()}, tmp_path / "x.pt"
    )
    photo(tmp_path / "x.png", 300, 400)
    done = densevit(
        *("classify", "x.png", "--model", "efficientvit-b0-r224", "--weights", "x.pt"),
        *("--runtime", "eager", "--device", "cpu", "--json"),
    )
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert report["model"] == "cls-b0-r224"
    # by Pillow and PyTorch alone
    short = math.ceil(224 / 0.95)
    with Image.open(tmp_path / "x.png") as image:
        resized = image.resize((short * 4 // 3, short), Image.Resampling.BICUBIC)
    left, top = round((resized.width - 224) / 2), round((short - 224) / 2)
    x = torch.from_numpy(np.array(resized.crop((left, top, left + 224, top + 224)))).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        probabilities = network((x - mean) / std)[0].softmax(0)
    best = probabilities.topk(5)
    (row,) = report["images"]
    assert [guess["index"] for guess in row["top"]] == best.indices.tolist()
    assert [guess["probability"] for guess in row["top"]] == pytest.approx(best.values.tolist(), abs=1e-4)
    assert [guess["name"] for guess in row["top"]] == [read_class_table("imagenet").names[i] for i in best.indices]


# --- bad images


def test_bad_images_are_a_line_each_and_the_others_go_on(classify, tmp_path, written):
    photo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_text("no image")
    (tmp_path / "in" / "c.jpg").touch()
    photo(tmp_path / "in" / "d.png", 1, 60_000)
    photo(tmp_path / "in" / "e.png", seed=1)
    content = photo(tmp_path / "in" / "f.jpg").read_bytes()
    (tmp_path / "in" / "f.jpg").write_bytes(content[: len(content) // 2])
    done = classify("in", "gone.png", "nothing/*.png", "--json", "--out", "out")
    assert done.code == 1
    report = json.loads(done.out)
    assert report["failed"] == len(done.errors) == 6
    for name in ("b.png", "c.jpg", "d.png", "f.jpg", "gone.png", "nothing/*.png"):
        assert sum(name in line for line in done.errors) == 1
    rows = {Path(row["source"]).name: row for row in report["images"]}
    assert {name for name, row in rows.items() if "error" not in row} == {"a.png", "e.png"}
    assert {name for name, row in rows.items() if "top" in row} == {"a.png", "e.png"}
    assert written(tmp_path / "out") == {"in/a.classification.json", "in/e.classification.json"}


def test_a_bad_image_without_json(classify, tmp_path):
    photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    done = classify("b.png", "a.png")
    assert done.code == 1
    (line,) = done.out.splitlines()
    assert "a.png" in line
    (line,) = done.errors
    assert "b.png" in line


@pytest.mark.parametrize("sources", [["gone.png"], ["empty"], ["*.png"], ["gone.png", "empty"]])
def test_no_image_at_all(classify, tmp_path, sources):
    (tmp_path / "empty").mkdir()
    done = classify(*sources)
    assert (done.code, done.out) == (1, "")
    assert len(done.errors) == len(sources)


def test_max_pixels(classify, tmp_path):
    photo(tmp_path / "large.png", 70, 90)
    photo(tmp_path / "small.png", 30, 40)
    done = classify("large.png", "small.png", "--max-pixels", 70 * 90 - 1, "--json")
    assert done.code == 1
    (line,) = done.errors
    assert "large.png" in line
    large, small = json.loads(done.out)["images"]
    assert "error" in large
    assert "top" in small
    assert classify("large.png", "--max-pixels", 70 * 90).code == 0


def test_results_that_cannot_be_written(classify, tmp_path, written):
    photo(tmp_path / "in" / "x.png")
    photo(tmp_path / "in" / "y.png")
    (tmp_path / "out" / "x.classification.json").mkdir(parents=True)
    done = classify("in", "--out", "out", "--json")
    assert done.code == 1
    (line,) = done.errors
    assert "x.png" in line
    assert written(tmp_path / "out") == {"y.classification.json"}
    (tmp_path / "file").write_text("in the way")
    done = classify("in", "--out", "file")
    assert done.code == 1
    assert len(done.errors) == 2


# --- bad options and models


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runtime", "tensorrt"], "'tensorrt'"),
        (["--precision", "int4"], "'int4'"),
        (["--device", "tpu"], "'tpu'"),
        (["--size", "huge"], "'huge'"),
        (["--size", "exact:230x230"], "multiples of 32"),
        (["--size", "short:99999"], "short:99999"),
        (["--weights", "x.pt"], "a model's name together with weights"),
    ],
)
def test_unknown_values_are_one_line(classify, tmp_path, arguments, message):
    photo(tmp_path / "x.png")
    done = classify("x.png", "--out", "out", *arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = done.errors
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["x.png", "--color"],
        [],
        ["x.png", "--top", "0"],
        ["x.png", "--top", "-1"],
        ["x.png", "--top", "many"],
        ["x.png", "--max-pixels", "0"],
        ["x.png", "--max-pixels", "many"],
    ],
)
def test_wrong_use_is_explained(densevit, tmp_path, arguments):
    photo(tmp_path / "x.png")
    done = densevit("classify", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err


def test_a_model_of_another_task_names_the_right_verb(densevit, tmp_path):
    photo(tmp_path / "x.png")
    done = densevit("classify", "x.png", "--model", tiny.safetensors(), "--runtime", "eager", "--json")
    assert (done.code, done.out) == (2, "")
    (line,) = done.errors
    assert "tiny: its task is segmentation" in line
    assert "densevit segment" in line
    done = densevit("segment", "x.png", "--model", classifier_file(), "--runtime", "eager")
    assert (done.code, done.out) == (2, "")
    (line,) = done.errors
    assert "tiny-classifier: its task is classification" in line
    assert "densevit classify" in line
    assert not (tmp_path / "out").exists()


def test_unknown_models_list_the_known(densevit, tmp_path):
    photo(tmp_path / "x.png")
    done = densevit("classify", "x.png", "--model", "cls-b9-mars")
    assert done.code == 2
    (line,) = done.errors
    assert "unknown model 'cls-b9-mars'; known: " in line
    assert "cls-b1-r224" in line


def test_weights_that_are_not_here_and_cannot_be_fetched(tmp_path):
    # in a process of its own, as the hub is told when it is imported
    photo(tmp_path / "x.png")
    done = tiny.run("classify", "x.png", "--json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    # the default model's file, why it is missing, and what to do
    assert "efficientvit_b1_r224.pt" in line
    assert "HF_HUB_OFFLINE" in line
    assert "--weights FILE" in line


def test_wrong_weights_are_refused(densevit, tmp_path):
    photo(tmp_path / "x.png")
    torch.save({"stem": torch.zeros(8, 3, 3, 3)}, tmp_path / "few.pt")
    (tmp_path / "noise.safetensors").write_bytes(b"\xff" * 400)
    (tmp_path / "noise.onnx").write_bytes(b"\xff" * 400)
    cases = {
        ("--model", "few.pt"): "no known model has such tensors",
        ("--model", "noise.safetensors"): "not a readable safetensors file",
        ("--model", "noise.onnx"): "not a readable graph file",
        ("--model", "gone.safetensors"): "No such file",
        ("--model", "gone.onnx"): "no such graph file",
        ("--model", "cls-b1-r224", "--weights", "gone.pt"): "",
        ("--model", "cls-b1-r224", "--weights", "few.pt"): "these are not this model's weights",
        ("--model", "cls-b1-r224", "--weights", "x.png"): "its suffix must be one of",
        (
            "--model",
            "cls-b1-r224",
            "--weights",
            classifier_file(),
        ): "holds cls-b0 with 7 classes (tiny",
    }
    for arguments, message in cases.items():
        done = densevit("classify", "x.png", "--out", "out", *arguments)
        assert done.code in (1, 2)
        assert done.out == ""
        (line,) = done.errors
        assert str(arguments[-1]) in line
        assert message in line
    assert not (tmp_path / "out").exists()


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code(densevit, tmp_path):
    photo(tmp_path / "x.png")
    (tmp_path / "old.bin").write_bytes(pickle.dumps({"a": Trap(tmp_path / "was run")}, protocol=2))
    torch.save({"a": torch.zeros(1), "b": Trap(tmp_path / "was run")}, tmp_path / "new.pt")
    for name in ("old.bin", "new.pt"):
        for arguments in (["--model", name], ["--model", "cls-b1-r224", "--weights", name]):
            done = densevit("classify", "x.png", *arguments)
            assert done.code == 1
            (line,) = done.errors
            assert f"{name}: refused" in line
    assert not (tmp_path / "was run").exists()
