"""`densevit train`: what happens before the first step."""

import re
from pathlib import Path

import pytest

from densevit.train.options import Options


def test_show_prints_the_options(densevit):
    done = densevit("train", "camvid", "--data", "data", "--out", "run", "--show")
    assert (done.code, done.err) == (0, "")
    options = dict(line.split("=", 1) for line in done.out.splitlines())
    assert {"steps", "batch", "learning_rate", "seed", "crop", "architecture"} <= options.keys()
    changed = densevit(
        *("train", "camvid", "--data", "data", "--out", "run", "--show"),
        *("--steps", "7", "--learning-rate", "0.5", "--crop", "64,96", "--no-class-weights"),
    )
    new = dict(line.split("=", 1) for line in changed.out.splitlines())
    assert (new["steps"], new["learning_rate"], new["class_weights"]) == ("7", "0.5", "False")
    assert re.findall(r"\d+", new["crop"]) == ["64", "96"]
    untouched = options.keys() - {"steps", "learning_rate", "class_weights", "crop"}
    assert {key: options[key] for key in untouched} == {key: new[key] for key in untouched}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--stepz", "7"], r"--stepz. Did you mean --steps"),
        (["--steps"], r"--steps"),
        (["--steps", "many"], "--steps.*'many' is not a whole number"),
        (["--steps", "0"], "steps must be at least 1"),
        (["--precision", "fp8"], "fp8.*--precision.*auto.*fp32"),
        (["--class-weights=maybe"], "--class-weights"),
        (["--crop", "64"], "--crop: takes 2 values"),
    ],
)
def test_wrong_options_are_refused(densevit, tokens, message):
    done = densevit("train", "camvid", "--data", "data", "--out", "run", *tokens, "--show")
    assert done.code == 2
    (line,) = done.errors
    assert re.search(message, line)


def test_list_names_every_recipe_and_needs_no_torch(densevit):
    done = densevit("train", "--list")
    assert (done.code, done.err) == (0, "")
    rows = dict(line.split(None, 1) for line in done.out.splitlines())
    assert {"camvid", "sr_x2", "sam_distill", "sam_finetune"} <= rows.keys()
    assert rows["camvid"].startswith("EfficientViT-B0 on CamVid")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_before_the_recipe(densevit, arguments):
    done = densevit("train", *arguments)
    assert (done.code, done.err) == (0, "")
    assert "densevit train RECIPE --help" in done.out


def test_help_of_a_recipe_shows_its_options(densevit):
    done = densevit("train", "camvid", "--steps", "9000", "--help")
    assert (done.code, done.err) == (0, "")
    out = " ".join(done.out.split())
    assert "--enlargement" in out
    assert "Total number of optimizer steps." in out
    assert "[default: 12000]" in out


def test_options_before_the_recipe_are_refused(densevit):
    done = densevit("train", "--steps", "5", "camvid")
    assert done.code == 2
    assert "the recipe comes first" in done.errors[0]


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
from densevit.core.errors import InputError
from densevit.train.options import Options

@dataclass(frozen=True)
class Mine(Options):
    steps: int = 42
    color: str = "blue"

def recipe(data: Path, options: Mine):
    raise InputError(f"asked for {data} in {options.color}")
"""


def test_a_recipe_may_be_a_file(densevit, tmp_path):
    (tmp_path / "mine.py").write_text(RECIPE)
    done = densevit("train", "mine.py", "--data", "data", "--out", "run", "--color", "red", "--show")
    assert (done.code, done.err) == (0, "")
    assert {"steps=42", "color=red", "seed=0"} <= set(done.out.splitlines())
    done = densevit("train", "mine.py", "--data", "there", "--out", "run")
    assert (done.code, done.errors) == (1, ["error: asked for there in blue"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"recipe\(data: Path, options: Options\)"),
        ("def recipe(data):\n    pass\n", "second parameter"),
        ("def recipe(data, options: int):\n    pass\n", "second parameter"),
    ],
)
def test_wrong_recipe_files_are_refused(densevit, tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    done = densevit("train", "mine.py", "--data", "data", "--out", "run", "--show")
    assert done.code == 1
    (line,) = done.errors
    assert re.search(message, line)


def test_training_without_data_names_the_folder(densevit):
    done = densevit("train", "camvid", "--data", "nowhere", "--out", "run", "--device", "cpu")
    assert done.code == 1
    (line,) = done.errors
    assert "nowhere/train: no such folder" in line


@pytest.mark.parametrize("missing", ["--data", "--out"])
def test_a_training_needs_data_and_out(densevit, missing):
    given = {"--data": "data", "--out": "run"}
    del given[missing]
    done = densevit("train", "camvid", *(word for pair in given.items() for word in pair))
    assert (done.code, done.errors) == (2, ["error: a training needs --data and --out"])


def test_scores_have_titles_units_and_digits(densevit, monkeypatch, tmp_path):
    scores = {"miou": 70.836, "ssim_y": 0.89741, "mse": 0.001234, "my_score": 0.5}
    monkeypatch.setattr("densevit.recipes.camvid.recipe", _recipe)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").touch()
    monkeypatch.setattr("densevit.train.loop.fit", lambda training, out, *, resume: scores)
    done = densevit("train", "camvid", "--data", "data", "--out", "run")
    assert done.code == 0, done.err
    *rows, last = (line.strip() for line in done.out.splitlines())
    assert rows == [
        "mean IoU  70.84 %",
        "SSIM on Y  0.8974",
        "embedding MSE  0.001234",
        "my_score  0.5000",
    ]
    assert last == "best weights: run/best.safetensors"


def _recipe(data: Path, options: Options) -> None:
    """Stands in for one that reads a data set."""
