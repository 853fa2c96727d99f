"""The seams hold what they promise: a task, a runtime, a format is one file and one row (a task also a verb)."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import densevit
from densevit import imaging
from densevit.cli.main import VERBS, Verb
from densevit.core.errors import UsageError
from densevit.evaluate import evaluate
from densevit.export import ExportError, export_program, trace, verify, write_graph
from densevit.export.table import FORMATS
from densevit.predict.model import Model
from densevit.runtimes.options import LoadOptions
from densevit.runtimes.table import RUNTIMES, Artefact, open_runtime, read_manifest
from densevit.tasks.table import TASKS
from helpers import mean_color, tiny, toy_runtime
from helpers.mean_color_network import MeanColorNetwork

IMAGES = [tiny.image(40, 56, seed=seed) for seed in range(3)]
COLORS = [image.reshape(-1, 3).mean(axis=0) for image in IMAGES]


@pytest.fixture
def task(monkeypatch):
    monkeypatch.setitem(TASKS, mean_color.NAME, mean_color.ROW)


@pytest.fixture
def runtime(monkeypatch):
    monkeypatch.setitem(RUNTIMES, "toy", toy_runtime.RUNTIME)


@pytest.fixture
def form(monkeypatch, runtime):
    monkeypatch.setitem(FORMATS, ".toy", toy_runtime.FORMAT)


@pytest.fixture
def graph(task, tmp_path):
    write_graph(MeanColorNetwork(), mean_color.manifest(), tmp_path / "toy.onnx")
    return tmp_path / "toy.onnx"


# --- a task


def test_a_task_predicts_streams_and_batches(graph):
    model = densevit.load(graph)
    assert type(model) is Model
    assert model.runtime.name == "openvino"
    results = [
        model.predict(IMAGES[0]),
        *model.predict(IMAGES[1:]),
        *model.stream(IMAGES),
        *model.predict_batch(IMAGES),
    ]
    for result, color in zip(results, COLORS * 3, strict=True):
        np.testing.assert_allclose(result.color, color, atol=0.05)


def test_a_task_is_evaluated(graph):
    class Colors(list):
        task = mean_color.NAME

    data = Colors(
        SimpleNamespace(image=image, color=color + 2) for image, color in zip(IMAGES, COLORS, strict=True)
    )
    evaluation = evaluate(densevit.load(graph), data)
    assert evaluation.images == 3
    assert evaluation.metrics["color_error"] == pytest.approx(2, abs=0.05)
    data.task = "segmentation"
    with pytest.raises(UsageError, match="its task is mean_color, this data is for another one"):
        evaluate(densevit.load(graph), data)


def test_a_task_has_a_verb(graph, monkeypatch, tmp_path, capsys):
    from densevit.cli import main

    monkeypatch.setitem(VERBS, "mean-color", Verb("helpers.mean_color:mean_color", "The mean color.", "..."))
    monkeypatch.chdir(tmp_path)
    Image.fromarray(IMAGES[0]).save("x.png")
    tokens = ["densevit", "mean-color", "x.png", "--model", "toy.onnx", "--out", "out", "--json"]
    monkeypatch.setattr(sys, "argv", tokens)
    main()
    (row,) = json.loads(capsys.readouterr().out)["images"]
    np.testing.assert_allclose(row["color"], COLORS[0], atol=0.05)
    assert json.loads((tmp_path / "out" / "x.mean_color.json").read_text())["color"] == row["color"]
    # and the other verbs name it
    monkeypatch.setattr(sys, "argv", ["densevit", "segment", "x.png", "--model", "toy.onnx"])
    with pytest.raises(SystemExit):
        main()
    assert "use densevit mean-color" in capsys.readouterr().err


def test_a_task_without_tiles_says_so(graph):
    with pytest.raises(UsageError, match="toy: mean_color needs the whole image; leave tile out"):
        densevit.load(graph, tile=256)


# --- a runtime


@pytest.fixture
def toy_file(task, form, tmp_path):
    export_program(trace(MeanColorNetwork(), mean_color.manifest()), tmp_path / "x.toy")
    return tmp_path / "x.toy"


def test_a_runtime_is_loaded_by_suffix_and_by_name(toy_file):
    for options in ({}, {"runtime": "toy"}):
        model = densevit.load(toy_file, **options)
        assert model.runtime.name == "toy"
        np.testing.assert_allclose(model.predict(IMAGES[0]).color, COLORS[0], atol=1e-3)
    assert read_manifest(toy_file).name == "toy"
    with pytest.raises(UsageError, match=r"runtime must be one of auto, openvino, eager, toy, got 'tensorrt'"):
        densevit.load(toy_file, runtime="tensorrt")


def test_every_runtime_gives_the_answers_of_the_model(graph, toy_file, tmp_path):
    """The parity test over the whole table: each runtime opens a file of its own and answers as the model does."""
    program = trace(MeanColorNetwork(), mean_color.manifest())
    files = {".onnx": graph, ".toy": toy_file}
    covered = []
    for row in RUNTIMES.values():
        for suffix in set(row.suffixes) & files.keys():
            report = verify(files[suffix], program, LoadOptions(runtime=row.name, precision="fp32"))
            assert report.passed
            assert report.runtime == row.name
            covered.append(row.name)
    # eager opens weights of the zoo's architectures; its parity is in tests/runtimes
    assert sorted([*covered, "eager"]) == sorted(RUNTIMES)


def test_a_runtime_is_in_the_help_of_every_verb(tmp_path):
    code = """
import sys
from densevit.runtimes.table import RUNTIMES, RuntimeRow
RUNTIMES["toy"] = RuntimeRow("toy", "numpy", "toys", "Toy", (".toy",), ("cpu",), (), "toys")
from densevit.cli import main
sys.argv = ["densevit", "segment", "--help"]
main()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=tiny.environment(), check=True)
    assert "toy (numpy)" in " ".join(done.stdout.replace("│", " ").split())


def test_a_runtime_without_its_package_says_what_to_install(toy_file, monkeypatch):
    from dataclasses import replace

    monkeypatch.setitem(RUNTIMES, "toy", replace(toy_runtime.RUNTIME, packages=("no_such_package",)))
    with pytest.raises(densevit.UnavailableError, match=r"no_such_package: pip install 'densevit\[toys\]'"):
        densevit.load(toy_file)


def test_a_file_that_a_runtime_does_not_open(toy_file):
    with pytest.raises(UsageError, match=r"x\.toy: runtime openvino does not open \.toy files"):
        open_runtime(Artefact(toy_file), LoadOptions(runtime="openvino"))


# --- a format


def test_a_format_is_written_and_verified(toy_file, monkeypatch, tmp_path):
    assert toy_file.is_file()
    monkeypatch.setattr(toy_runtime, "added", 0.01)
    program = trace(MeanColorNetwork(), mean_color.manifest())
    with pytest.raises(ExportError, match=r"toy: forward color: graph and model differ by 0\.01"):
        export_program(program, tmp_path / "wrong.toy")
    assert not (tmp_path / "wrong.toy").exists()
    with pytest.raises(UsageError, match=r"x\.abc: the suffix must be one of \.onnx, \.toy"):
        export_program(program, tmp_path / "x.abc")


def test_a_report_names_what_was_compared(toy_file):
    report = verify(toy_file, trace(MeanColorNetwork(), mean_color.manifest()))
    assert {(row.function, row.output) for row in report.comparisons} == {("forward", "color")}
    assert len({row.shapes for row in report.comparisons}) == 2
    assert report.worst.difference <= report.worst.tolerance
    assert report.precision == "fp32"


# --- options


def test_keywords_are_the_fields_of_the_options():
    import dataclasses
    from typing import Annotated, get_args, get_origin, get_type_hints

    from densevit.runtimes.options import LoadKeywords

    fields = {
        name: get_args(hint)[0] if get_origin(hint) is Annotated else hint
        for name, hint in get_type_hints(LoadOptions, include_extras=True).items()
    }
    assert get_type_hints(LoadKeywords) == fields
    assert [field.name for field in dataclasses.fields(LoadOptions)] == list(fields)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "precision must be auto or one of fp32, bf16, fp16, got 'int4'"),
        ({"mode": "fast"}, "mode must be one of latency, throughput, got 'fast'"),
        ({"threads": -1}, "threads must be at least 0, got -1"),
        ({"runtime": "x"}, "runtime must be one of auto, openvino, eager, got 'x'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match=message):
        LoadOptions(**options)


# --- tiles wrap any task


def test_tiles_of_a_segmentation_are_labels_of_the_whole_image():
    image = tiny.image(700, 900)
    whole = densevit.load(tiny.graph(), precision="fp32", threads=1, size="native").predict(image)
    model = densevit.load(tiny.graph(), precision="fp32", threads=1, size="native", tile=512)
    tiled = model.predict(image)
    assert tiled.labels.shape == whole.labels.shape == (700, 900)
    # context ends at the tile's edge, so that some labels differ
    assert (tiled.labels == whole.labels).mean() > 0.8
    assert tiled.overlay().array.shape == image.shape
    assert sum(tiled.fractions().values()) == pytest.approx(1)
    with pytest.raises(UsageError, match="does not hold its logits; use tile whole"):
        tiled.confidence()
    with pytest.raises(UsageError, match="use tile whole"):
        model.logits(image)
    # an image no larger than a tile is answered as without tiles
    small = image[:300, :400].copy()
    expected = densevit.load(tiny.graph(), precision="fp32", threads=1, size="native").predict(small)
    np.testing.assert_array_equal(model.predict(small).labels, expected.labels)


def test_tiles_from_the_command_line(tmp_path, monkeypatch):
    from densevit.cli import main

    monkeypatch.chdir(tmp_path)
    imaging.save(tiny.image(400, 600), tmp_path / "x.png")
    tokens = ["segment", "x.png", "--model", str(tiny.graph()), "--size", "native", "--tile", "320"]
    monkeypatch.setattr(sys, "argv", ["densevit", *tokens, "--format", "labels"])
    main()
    with Image.open(tmp_path / "out" / "x.labels.png") as labels:
        assert labels.size == (600, 400)
