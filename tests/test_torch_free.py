"""Predicting needs no torch: whole verbs in a process in which it, and what belongs to it, is not installed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densevit.zoo import ZOO
from helpers import tiny

# What the extras install. The finder answers as if they were not there, for `import` and `find_spec` alike.
WITHOUT = """
import sys
from importlib.machinery import PathFinder

HIDDEN = {"torch", "torchgen", "functorch", "onnx", "onnxscript", "onnx_ir", "tensorboard", "safetensors.torch"}

class Finder:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name in HIDDEN or name.partition(".")[0] in HIDDEN:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Finder(finder) for finder in sys.meta_path]
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("torch could be imported after all")
"""
VERB = """
sys.argv[0] = "densevit"
from densevit.cli import main
main()
"""


def python(code: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=cwd,
        env=tiny.environment(),
    )


def without_torch(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`densevit ARGUMENTS` where no torch is."""
    return python(WITHOUT + VERB, *arguments, cwd=cwd)


def failed_in_one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


MODELS = [
    "graph file",
    pytest.param("bundled", marks=pytest.mark.skipif(not tiny.has_bundled, reason=tiny.NO_BUNDLED)),
]


@pytest.mark.parametrize("which", MODELS)
def test_the_whole_verb_segment(tmp_path, which):
    for name, seed in (("a/x.png", 0), ("b/x.png", 1)):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        Image.fromarray(tiny.image(40, 60, seed=seed)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.png").write_text("no image")
    chosen = ["--model", tiny.graph()] if which == "graph file" else []
    done = without_torch("segment", "in", *chosen, "--format", "overlay,labels,color,json", "--json", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "bad.png" in line
    report = json.loads(done.stdout)
    assert report["runtime"] == "openvino"
    assert [len(row.get("written", [])) for row in report["images"]] == [4, 4, 0]
    if which == "graph file":
        expected = tiny.model().predict(tmp_path / "in" / "a" / "x.png")
        with Image.open(tmp_path / "out" / "a" / "x.labels.png") as image:
            assert np.array_equal(np.asarray(image), expected.labels)


def test_the_whole_verb_upscale(tmp_path):
    Image.fromarray(tiny.image(40, 60)).save(tmp_path / "x.png")
    done = without_torch("upscale", "x.png", "--model", tiny.sr_graph(), "--compare", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "out" / "x.png") as image:
        assert image.size == (120, 80)
    done = without_torch("eval", tiny.sr_graph(), "--data", "sr:.", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_models():
    done = without_torch("models", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(rows) == list(ZOO)
    assert rows["seg-b0-cityscapes"]["params"] == 706_691
    assert rows["seg-l2-ade20k"]["params"] == 51_462_454


def test_eval(tmp_path):
    (tmp_path / "data" / "val").mkdir(parents=True)
    (tmp_path / "data" / "valannot").mkdir()
    Image.fromarray(tiny.image(33, 50)).save(tmp_path / "data" / "val" / "x.png")
    Image.fromarray(np.zeros((33, 50), np.uint8)).save(tmp_path / "data" / "valannot" / "x.png")
    done = without_torch("eval", tiny.graph(), "--data", "camvid:data", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["images"] == 1


def test_what_needs_torch_says_what_to_install(tmp_path):
    Image.fromarray(tiny.image(33, 50)).save(tmp_path / "x.png")
    own = tiny.safetensors()
    (tmp_path / "official.pt").write_bytes(b"whatever")
    for arguments in (
        ["segment", "x.png", "--model", own, "--runtime", "eager"],
        ["segment", "x.png", "--model", own, "--device", "cuda"],
        ["segment", "x.png", "--model", "seg-b0-cityscapes", "--weights", "official.pt"],
    ):
        line = failed_in_one_line(without_torch(*arguments, cwd=tmp_path))
        assert re.search(r"needs .*torch.*: pip install 'densevit\[torch\]'", line, re.IGNORECASE)
    line = failed_in_one_line(without_torch("train", "camvid", "--data", "d", "--out", "o", cwd=tmp_path))
    assert "pip install 'densevit[train]'" in line


def test_python_says_so_too():
    code = f"""
import densevit
try:
    densevit.create_model("seg-b0")
except (ImportError, ValueError) as error:
    print(error)
try:
    densevit.load({str(tiny.safetensors())!r})
except ValueError as error:
    print(error)
model = densevit.load({str(tiny.graph())!r})
import numpy
print(sorted(model.predict([numpy.zeros((40, 50, 3), numpy.uint8)])[0].fractions()) != [])
print(densevit.Model.__name__, densevit.ImageError.__name__, densevit.SegmentationResult.__name__)
"""
    done = python(WITHOUT + code)
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = done.stdout.splitlines()
    assert "pip install 'densevit[torch]'" in first
    assert "pip install 'densevit[torch]'" in second
    assert third == "True"
    assert fourth == "Model ImageError SegmentationResult"


def loaded_after(code: str, *arguments: object, cwd: Path | None = None) -> set[str]:
    """Top-level modules in a process that has torch, after the code."""
    report = "\nimport sys; print('MODULES', *{name.partition('.')[0] for name in sys.modules})"
    done = python(code + report, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


HEAVY = {
    "torch",
    "onnx",
    "onnxscript",
    "openvino",
    "numpy",
    "PIL",
    "cyclopts",
    "rich",
    "huggingface_hub",
    "safetensors",
}


def test_importing_the_package_imports_nothing_heavy():
    assert not HEAVY & loaded_after("import densevit; dir(densevit); densevit.__version__")


def test_segmenting_imports_no_more_than_it_needs(tmp_path):
    # the start of the command is most of its time
    Image.fromarray(tiny.image(33, 50)).save(tmp_path / "x.png")
    code = """
import sys
sys.argv[0] = "densevit"
from densevit.cli import main
try:
    main()
except SystemExit as exit_:
    assert not exit_.code, exit_.code
"""
    loaded = loaded_after(code, "segment", "x.png", "--model", tiny.graph(), cwd=tmp_path)
    assert "openvino" in loaded
    assert not {"torch", "onnx", "onnxscript", "huggingface_hub", "tensorboard"} & loaded
    assert (tmp_path / "out" / "x.overlay.jpg").is_file()


def test_models_needs_no_runtime():
    code = """
import sys
sys.argv = ["densevit", "models"]
from densevit.cli import main
try:
    main()
except SystemExit as exit_:
    assert not exit_.code, exit_.code
"""
    assert not {"torch", "openvino"} & loaded_after(code)
