"""What type checkers know: `load` of a name gives the model of its task, whose results are typed."""

import subprocess
import sys
from typing import get_args

import pytest

from densevit.predict import names
from densevit.zoo import ZOO

TYPES = {
    "segmentation": names.SegmenterName,
    "classification": names.ClassifierName,
    "super_resolution": names.UpscalerName,
    "promptable": names.PromptableName,
}

CODE = """
from typing import reveal_type
import densevit

result = densevit.load("seg-b0-camvid", size="native").predict("x.jpg")
reveal_type(result)
reveal_type(result.overlay())
reveal_type(densevit.load("cls-b1-r224").predict(["x.jpg"]))
reveal_type(densevit.load("sr-x2").predict("x.jpg"))
reveal_type(densevit.load("mobile-sam").predict("x.jpg", boxes=[0, 0, 9, 9]))

def load_any(name: str) -> None:
    reveal_type(densevit.load(name))
"""
REVEALED = [
    "SegmentationResult",
    "Drawing",
    "list[densevit.tasks.classification.ClassificationResult]",
    "SuperResolutionResult",
    "MasksResult",
    "LoadedModel",
]


@pytest.mark.parametrize("task", TYPES)
def test_the_overloads_name_the_models_of_the_zoo(task):
    assert list(get_args(TYPES[task])) == [name for name, entry in ZOO.items() if entry.task == task]


def check(tmp_path, code: str) -> list[str]:
    # a name of its own: mypy's cache tells files apart by whole seconds
    path = tmp_path / f"x{len(list(tmp_path.glob('*.py')))}.py"
    path.write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), path.name]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout.splitlines()


@pytest.mark.slow
def test_results_are_typed(tmp_path):
    pytest.importorskip("mypy")
    lines = check(tmp_path, CODE)
    revealed = [line.split('"')[1].removeprefix("densevit.") for line in lines if "Revealed type" in line]
    assert len(revealed) == len(REVEALED), lines
    assert all(got.endswith(wanted) for got, wanted in zip(revealed, REVEALED, strict=True)), revealed
    assert lines[-1].startswith("Success")
    for right, wrong in (("result.overlay()", "result.overlai()"), ("size=", "sise=")):
        errors = [line for line in check(tmp_path, CODE.replace(right, wrong)) if " error: " in line]
        assert any(wrong.strip("=()").rpartition(".")[2] in line for line in errors), errors
