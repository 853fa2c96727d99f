"""Graphs made from weights: made once, shared by processes, bounded, never half written."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import densevit
from densevit.core.errors import InputError
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.weights import graph_cache as cache
from helpers import tiny


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSEVIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def conversions(monkeypatch):
    """Counts the exports, which take a ready graph instead of ten seconds."""
    ready = tiny.graph().read_bytes()
    names = []

    def write(program, manifest, path):
        names.append(manifest.name)
        path.write_bytes(ready)

    monkeypatch.setattr(
        "densevit.export.table.trace", lambda network, manifest: SimpleNamespace(manifest=manifest)
    )
    monkeypatch.setattr("densevit.export.table.check", lambda *_: None)
    monkeypatch.setattr("densevit.export.onnx.write", write)
    return names


def entry(folder: Path, name: str, size: int, age_s: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"x" * size)
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_the_folder_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("DENSEVIT_CACHE", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache.cache_folder() == tmp_path / "a"
    monkeypatch.delenv("DENSEVIT_CACHE")
    assert cache.cache_folder() == tmp_path / "b" / "densevit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".cache" / "densevit"


def test_other_weights_models_and_converters_have_other_places(folder):
    paths = {
        cache.graph_path(*identity)
        for identity in [("a", "m", "1"), ("b", "m", "1"), ("a", "n", "1"), ("a", "m", "2"), ("a", "m1", "")]
    }
    assert len(paths) == 5
    assert all(path.suffix == ".onnx" and folder in path.parents for path in paths)
    assert cache.graph_path("a", "m", "1") == cache.graph_path("a", "m", "1")


def test_weights_are_converted_once(folder, conversions):
    first = densevit.load(tiny.safetensors())
    assert len(conversions) == 1
    (made,) = folder.rglob("*.*")
    second = densevit.load(tiny.safetensors())
    assert len(conversions) == 1
    assert list(folder.rglob("*.*")) == [made]
    assert first.manifest == second.manifest
    assert OpenVINORuntime(made).manifest.class_names == tiny.manifest().class_names


def test_other_weights_are_converted_on_their_own(folder, conversions, tmp_path):
    from densevit.checkpoints.state import save_own

    other = tmp_path / "other.safetensors"
    shutil.copy(tiny.safetensors(), other)
    densevit.load(other)
    save_own(tiny.network(seed=1), other, tiny.manifest())
    densevit.load(other)
    assert len(conversions) == 2
    assert len(list(folder.rglob("*.*"))) == 2


def test_a_new_converter_does_not_take_the_old_graph(folder, conversions, monkeypatch):
    densevit.load(tiny.safetensors())
    monkeypatch.setattr("densevit.predict.loading.CONVERTER", "another")
    densevit.load(tiny.safetensors())
    assert len(conversions) == 2


def test_the_second_start_needs_no_torch(folder, conversions):
    densevit.load(tiny.safetensors())
    code = f"""
import sys
import densevit
model = densevit.load({str(tiny.safetensors())!r})
import numpy
model.predict(numpy.zeros((40, 50, 3), numpy.uint8))
print(sorted({{name.partition('.')[0] for name in sys.modules}} & {{'torch', 'onnx', 'onnxscript'}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=tiny.environment(DENSEVIT_CACHE=str(folder)),
    )
    assert done.stdout == "[]\n"


SLOW_EXPORT = """
import sys, time
from types import SimpleNamespace
import densevit, densevit.export.onnx, densevit.export.table, numpy
ready = open(sys.argv[2], "rb").read()
def write(program, manifest, path):
    print("converting", flush=True)
    with open(path, "wb") as file:
        for start in range(0, len(ready), len(ready) // 8):
            file.write(ready[start : start + len(ready) // 8])
            file.flush()
            time.sleep(0.05)
densevit.export.table.trace = lambda network, manifest: SimpleNamespace(manifest=manifest)
densevit.export.table.check = lambda *_: None
densevit.export.onnx.write = write
print("ready", flush=True)
sys.stdin.readline()
model = densevit.load(sys.argv[1])
print(model.predict(numpy.zeros((40, 50, 3), numpy.uint8)).fractions())
"""


@pytest.mark.slow
def test_processes_that_start_together_make_one_good_file(folder):
    command = [sys.executable, "-c", SLOW_EXPORT, str(tiny.safetensors()), str(tiny.graph())]
    environment = tiny.environment(DENSEVIT_CACHE=str(folder))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    said = [out.splitlines() for out, _ in answers]
    # at least one made it; all have the same answer
    assert any("converting" in lines for lines in said)
    assert len({lines[-1] for lines in said}) == 1
    (made,) = (path for path in folder.rglob("*") if path.is_file())
    assert made.read_bytes() == tiny.graph().read_bytes()


def test_a_conversion_that_fails_leaves_nothing(folder, conversions, monkeypatch):
    def write(program, manifest, path):
        path.write_bytes(b"half a gra")
        raise KeyboardInterrupt

    monkeypatch.setattr("densevit.export.onnx.write", write)
    with pytest.raises(KeyboardInterrupt):
        densevit.load(tiny.safetensors())
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_trimming_keeps_what_was_used_last(tmp_path):
    old, middle, new = (entry(tmp_path, f"{age}.onnx", 100, age) for age in (3000, 2000, 1000))
    other = entry(tmp_path, "notes.txt", 1000, 9999)
    cache.trim_cache(new, max_bytes=300)
    assert old.exists()
    cache.trim_cache(new, max_bytes=250)
    assert not old.exists()
    assert middle.exists()
    assert new.exists()
    cache.mark_used(middle)
    cache.trim_cache(middle, max_bytes=100)
    assert middle.exists()
    assert not new.exists()
    assert other.exists()


def test_trimming_keeps_the_newest_even_where_it_alone_is_too_large(tmp_path):
    kept = entry(tmp_path, "kept.onnx", 1000, 5000)
    other = entry(tmp_path, "other.onnx", 10, 1)
    cache.trim_cache(kept, max_bytes=100)
    assert kept.exists()
    assert not other.exists()


def test_files_of_killed_processes_go_and_files_being_written_stay(tmp_path):
    kept = entry(tmp_path, "kept.onnx", 100, 10)
    abandoned = entry(tmp_path, ".0123456789abcdef.onnx", 100, 90_000)
    being_written = entry(tmp_path, ".fedcba9876543210.onnx", 100, 5)
    cache.trim_cache(kept, max_bytes=100)
    assert kept.exists()
    assert being_written.exists()
    assert not abandoned.exists()


def test_loading_trims(folder, conversions, monkeypatch):
    monkeypatch.setattr(cache.trim_cache, "__kwdefaults__", {"max_bytes": tiny.graph().stat().st_size + 10})
    graphs = cache.graph_path("x").parent
    old = entry(graphs, "old.onnx", 100, 5000)
    densevit.load(tiny.safetensors())
    assert not old.exists()
    assert len(list(graphs.iterdir())) == 1


def test_a_damaged_graph_is_made_again(folder, conversions):
    densevit.load(tiny.safetensors())
    (made,) = folder.rglob("*.onnx")
    whole = made.read_bytes()
    for content in (whole[:1000], b"", b"noise" * 100):
        made.write_bytes(content)
        densevit.load(tiny.safetensors())
        assert made.read_bytes() == whole
    assert len(conversions) == 4


def test_a_copy_under_another_name_is_not_converted_again(folder, conversions, tmp_path):
    densevit.load(tiny.safetensors())
    densevit.load(shutil.copy(tiny.safetensors(), tmp_path / "copy.safetensors"))
    assert len(conversions) == 1


def test_marking_a_deleted_graph_is_not_an_error(tmp_path):
    cache.mark_used(tmp_path / "gone.onnx")


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch, conversions):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DENSEVIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="is a file, not a folder; choose another folder"):
        densevit.load(tiny.safetensors())
