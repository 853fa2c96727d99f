"""The verbs around classification where torch is not installed: what they answer, and what they say is missing.

The small classifier at the top serves the tests of the command line too.
"""

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from densevit.core.manifest import Manifest
from densevit.zoo import ZOO
from helpers import tiny
from test_torch_free import WITHOUT, python

NAMES = ("ant", "bee", "cat", "dog", "elk", "fox", "red panda")


def classifier_manifest(**changes) -> Manifest:
    """B0 with seven classes, at a size that costs nothing."""
    made = Manifest(
        name="tiny-classifier",
        task="classification",
        architecture="cls-b0",
        class_names=NAMES,
        size="exact:64x64",
        published_size="exact:96x96",
        resize="pil_bicubic",
        crop_ratio=0.95,
        licence="Apache-2.0",
    )
    return replace(made, **changes)


@functools.cache
def classifier(architecture: str = "cls-b0", classes: int = len(NAMES)):
    """A network with random weights and BatchNorm statistics of images; each image has a class of its own."""
    import torch
    from torch import nn

    from densevit.models.build import build
    from densevit.variants import CLASSIFICATION

    tiny.one_thread()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = build(CLASSIFICATION[architecture], classes=classes)
        norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
        for layer in norms:
            layer.momentum = None
        images = [torch.from_numpy(tiny.image(64, 64, seed=seed)).permute(2, 0, 1) for seed in range(8)]
        x = torch.stack(images) / 64 - 2
        model.train()(x)
        for layer in norms:
            layer.momentum = 0.1
        logits = model.eval()(x)
        last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
        scale = 2 / logits.std(dim=0).mean()
        last.weight.mul_(scale)
        last.bias.copy_(-scale * (logits - last.bias).mean(dim=0))
    return model


@functools.cache
def classifier_file() -> Path:
    """The small classifier as an own weights file."""
    from densevit.checkpoints.state import save_own

    path = tiny.folder() / "tiny-classifier.safetensors"
    save_own(classifier(), path, classifier_manifest())
    return path


@functools.cache
def classifier_graph() -> Path:
    """The same as a graph file; to export it takes about ten seconds."""
    from densevit.checkpoints.loading import load_network
    from densevit.export import write_graph

    path = tiny.folder() / "tiny-classifier.onnx"
    write_graph(*load_network(classifier_file(), None), path)
    return path


# Any number of verbs in one process, as starting one takes most of its time.
VERBS = """
import contextlib, io, json

from densevit.cli import main

answers = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["densevit", *arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
    answers.append([code, out.getvalue(), err.getvalue()])
assert "torch" not in sys.modules
print(json.dumps(answers))
"""


def verbs_without_torch(*verbs: list[object], cwd: Path) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each `densevit ARGUMENTS` where no torch is."""
    done = python(WITHOUT + VERBS, json.dumps([[str(word) for word in verb] for verb in verbs]), cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [tuple(answer) for answer in json.loads(done.stdout)]


def test_classify_with_a_graph_file(tmp_path):
    from densevit.predict.loading import load

    for name, seed in (("a/x.png", 0), ("b/x.png", 1)):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        Image.fromarray(tiny.image(70, 90, seed=seed)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.png").write_text("no image")
    verb = ["classify", "in", "--model", classifier_graph(), "--top", "3"]
    (code, out, err), (table_code, table, _) = verbs_without_torch(
        [*verb, "--out", "out", "--json"], verb, cwd=tmp_path
    )
    assert (code, table_code) == (1, 1)
    (line,) = err.splitlines()
    assert "bad.png" in line
    report = json.loads(out)
    assert (report["model"], report["runtime"], report["failed"]) == ("tiny-classifier", "openvino", 1)
    expected = load(classifier_graph(), precision="fp32", threads=1)
    shown = table.splitlines()
    assert len(shown) == 2
    for row, line in zip(report["images"][:2], shown, strict=True):
        best = expected.predict(row["source"]).top(3)
        assert [guess["name"] for guess in row["top"]] == [guess.name for guess in best]
        assert [guess["probability"] for guess in row["top"]] == pytest.approx(
            [guess.probability for guess in best], abs=1e-4
        )
        assert best[0].name in line
        assert all(Path(tmp_path, path).is_file() for path in row["written"])


def test_models_and_info(tmp_path):
    names = ["cls-b1-r224", "sam-xl1", "seg-b0-camvid"]
    files = [classifier_graph(), classifier_file()]
    (code, out, err), *infos = verbs_without_torch(
        ["models", "--json"], *(["info", model, "--json"] for model in [*names, *files]), cwd=tmp_path
    )
    assert (code, err) == (0, "")
    assert [row["name"] for row in json.loads(out)] == list(ZOO)
    for name, (code, out, err) in zip([*names, *["tiny-classifier"] * 2], infos, strict=True):
        assert (code, err) == (0, "")
        assert json.loads(out)["name"] == name
    graph, own = (json.loads(out) for _, out, _ in infos[-2:])
    assert graph["class_names"] == own["class_names"] == list(NAMES)
    assert graph["params"] == own["params"] == sum(p.numel() for p in classifier().parameters())


def test_what_needs_torch_says_what_to_install(tmp_path):
    from safetensors.numpy import save_file

    Image.fromarray(tiny.image(70, 90)).save(tmp_path / "x.png")
    (tmp_path / "x.pt").write_bytes(b"whatever")
    save_file({"stem.in_conv.conv.weight": tiny.image(3, 3)}, tmp_path / "timm.safetensors")
    own = classifier_file()
    answers = verbs_without_torch(
        ["convert", own, "y.safetensors"],
        ["convert", "x.pt", "y.safetensors", "--json"],
        ["info", "x.pt"],
        ["info", "x.pt", "--json"],
        ["info", "timm.safetensors"],
        ["classify", "x.png", "--model", own],
        ["classify", "x.png", "--model", own, "--runtime", "eager", "--json"],
        ["classify", "x.png", "--model", "cls-b1-r224", "--weights", "x.pt"],
        cwd=tmp_path,
    )
    for code, out, err in answers:
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith("error: ")
        assert "torch" in line
        assert "pip install 'densevit[torch]'" in line
    assert not (tmp_path / "y.safetensors").exists()
