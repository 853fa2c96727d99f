"""What the README promises runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import densevit
from densevit import imaging
from helpers import blobs, tiny

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    # a backslash ends a line that goes on in the next
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("densevit ")]


def test_the_lines_about_prompts_run(tmp_path, monkeypatch):
    _, block = blocks("python")
    monkeypatch.chdir(tmp_path)
    imaging.save(tiny.image(480, 640), "street.jpg")
    # weights are not at hand; blobs answer
    monkeypatch.setattr(densevit, "load", lambda name, weights: blobs.model(), raising=False)
    names = {"densevit": densevit}
    exec(block, names)
    assert (tmp_path / "out" / "masks.png").is_file()
    assert (tmp_path / "out" / "street.rle.json").is_file()
    assert len(names["result"]) == 2


def test_the_ten_lines_of_python_run(tmp_path):
    block, _ = blocks("python")
    (tmp_path / "examples").mkdir()
    image = ROOT / "examples" / "leuven_street.jpg"
    (tmp_path / "examples" / image.name).write_bytes(image.read_bytes())
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "(563, 751)" in done.stdout
    assert "missing.jpg: no such file" in done.stdout
    assert (tmp_path / "street.png").is_file()
    assert (tmp_path / "out" / "street.labels.png").is_file()


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_the_options_that_are_shown(command):
    verb, *arguments = command[1:]
    environment = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-m", "densevit", verb, "--help"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    for argument in arguments:
        if argument.startswith("--"):
            assert argument in done.stdout


def test_there_are_commands():
    assert {command[1] for command in commands()} == {
        "segment",
        "classify",
        "upscale",
        "masks",
        "models",
        "info",
        "convert",
        "eval",
        "train",
    }


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_the_file_map_names_files_that_exist():
    section = README.partition("## File map")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`(?:, `.+?`)*) \|", section, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(.+?)`", row)]
    assert len(names) > 15
    for name in names:
        assert any((base / name).exists() for base in (ROOT, ROOT / "src" / "densevit")), name
