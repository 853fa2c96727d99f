"""Which runtime opens a file, and what its header says."""

import numpy as np
import pytest

from densevit.core.errors import InputError, UsageError
from densevit.runtimes.options import LoadOptions
from densevit.runtimes.table import RUNTIMES, Artefact, choose_runtime, is_model_file, open_runtime, read_manifest
from helpers import tiny


@pytest.mark.parametrize(
    ("name", "device", "suffix", "chosen"),
    [
        ("auto", "auto", "", "openvino"),
        ("auto", "cpu", "", "openvino"),
        ("auto", "cuda:1", "", "eager"),
        ("auto", "mps", "", "eager"),
        ("auto", "cuda", ".onnx", "eager"),
        ("auto", "auto", ".safetensors", "eager"),
        ("eager", "cpu", "", "eager"),
        ("openvino", "auto", ".onnx", "openvino"),
    ],
)
def test_the_first_that_runs_on_the_device(name, device, suffix, chosen):
    assert choose_runtime(name, device, suffix).name == chosen


def test_unknown_names_and_devices():
    with pytest.raises(UsageError, match="runtime must be one of auto, openvino, eager, got 'x'"):
        choose_runtime("x", "auto")
    with pytest.raises(UsageError, match="device must be auto or one of cpu, cuda, mps, got 'tpu'"):
        choose_runtime("auto", "tpu")


def test_every_row_has_its_class():
    for row in RUNTIMES.values():
        assert row.load_class().name == row.name


def test_manifests_of_every_format():
    assert read_manifest(tiny.graph()).name == "tiny"
    assert read_manifest(tiny.safetensors()).name == "tiny"
    with pytest.raises(InputError, match=r"x\.txt: not a model's file; its suffix must be one of .*\.onnx"):
        read_manifest(tiny.graph().with_name("x.txt"))


def test_suffixes_tell_files_from_names():
    assert is_model_file("a.ONNX")
    assert is_model_file("a.pt")
    assert not is_model_file("seg-b0-camvid")
    assert not is_model_file("sr-x2-w0.75")


def test_auto_opens_what_a_runtime_opens():
    runtime = open_runtime(Artefact(tiny.safetensors()), LoadOptions(precision="fp32"))
    assert runtime.name == "eager"
    assert runtime.manifest.name == "tiny"


def test_throughput_gives_the_same_answers_from_several_threads():
    from concurrent.futures import ThreadPoolExecutor

    images = [tiny.image(64, 96, seed=seed)[None] for seed in range(8)]
    one = open_runtime(Artefact(tiny.graph()), LoadOptions(precision="fp32"))
    many = open_runtime(Artefact(tiny.graph()), LoadOptions(precision="fp32", mode="throughput"))
    expected = [one.run("forward", {"image": image})["logits"] for image in images]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda image: many.run("forward", {"image": image})["logits"], images))
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
