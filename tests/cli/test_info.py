"""`densevit info`: models of the zoo, and files of any origin."""

import json

import numpy as np
import pytest

from densevit.core.classes import read_class_table
from densevit.core.manifest import METADATA_KEY
from densevit.weights import write_tensors
from helpers import tiny
from helpers.foreign_weights import foreign_file
from helpers.verbs import check_refusal, describe
from test_torch_free_verbs import NAMES, classifier, classifier_file, classifier_graph, classifier_manifest

# --- models of the zoo


@pytest.mark.parametrize("name", ["cls-b1-r288", "efficientvit-b1-r288", "efficientvit_b1.r288_in1k"])
def test_info_of_a_classifier(densevit, name):
    said = describe(densevit, name)
    assert (said["name"], said["task"], said["architecture"]) == ("cls-b1-r288", "classification", "cls-b1")
    assert (said["params"], said["resolution"]) == (9_102_024, [288, 288])
    assert said["macs"] == pytest.approx(0.856e9, rel=0.01)
    assert said["published"] == {"top1": 80.410, "top5": 94.984}
    assert said["class_names"] == list(read_class_table("imagenet").names)
    assert (said["size"], said["published_size"]) == ("exact:288x288", "exact:288x288")
    assert (said["resize"], said["crop_ratio"]) == ("pil_bicubic", 0.95)
    assert said["mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert said["std"] == pytest.approx([0.229, 0.224, 0.225])
    assert said["weights"] in ("hub", "cached")
    assert said["licence"] == "Apache-2.0"
    assert "encoder_params" not in said


def test_info_of_a_promptable_model(densevit):
    said = describe(densevit, "efficientvit-sam-xl1")
    assert (said["name"], said["task"]) == ("sam-xl1", "promptable")
    assert said["params"] == 203_346_128
    assert 0 < said["encoder_params"] < said["params"]
    assert said["macs"] == pytest.approx(321.9e9, rel=0.01)
    assert said["resolution"] == [1024, 1024]
    assert said["class_names"] == []
    assert said["size"] == "long:1024"
    assert np.array(said["mean"]) * 255 == pytest.approx([123.675, 116.28, 103.53])
    assert np.array(said["std"]) * 255 == pytest.approx([58.395, 57.12, 57.375])


def test_info_for_people(densevit):
    done = densevit("info", "cls-b1-r224")
    assert (done.code, done.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert lines["name"] == "cls-b1-r224"
    assert lines["task"] == "classification"
    assert "9,102,024" in lines["params"]
    assert "tench" in lines["class_names"]
    assert "1000" in lines["class_names"]
    assert "toilet tissue" not in lines["class_names"]
    assert lines["published"] == "top-1 79.39 %, top-5 94.35 %"
    assert "encoder_params" in densevit("info", "sam-l0").out


@pytest.mark.parametrize("name", ["cls-b9-mars", "x.txt", "nowhere"])
def test_info_of_unknown_models_lists_the_known(densevit, name):
    check_refusal(densevit("info", name), f"unknown model '{name}'; known: ", "cls-b1-r224", "sam-l0", code=2)


def test_info_takes_one_model(densevit):
    done = densevit("info")
    assert (done.code, done.out) == (2, "")
    assert done.err


# --- files


@pytest.mark.parametrize("made", [classifier_file, classifier_graph])
def test_info_of_own_and_graph_files(densevit, made):
    said = describe(densevit, made())
    assert said["file"] == str(made())
    assert said["bytes"] == made().stat().st_size
    assert (said["name"], said["task"], said["architecture"]) == ("tiny-classifier", "classification", "cls-b0")
    assert said["class_names"] == list(NAMES)
    assert said["params"] == sum(parameter.numel() for parameter in classifier().parameters())
    assert (said["size"], said["published_size"]) == ("exact:64x64", "exact:96x96")
    assert (said["crop_ratio"], said["licence"]) == (0.95, "Apache-2.0")
    assert len(said["weights_sha256"]) == 64
    done = densevit("info", made())
    assert (done.code, done.err) == (0, "")
    assert "tiny-classifier" in done.out
    assert "red panda" in done.out


def test_info_of_an_own_segmentation_file(densevit):
    said = describe(densevit, tiny.safetensors())
    assert (said["name"], said["task"]) == ("tiny", "segmentation")
    assert said["params"] == sum(parameter.numel() for parameter in tiny.network().parameters())
    assert said["metrics"] == {"nothing/val/miou": 1.5}


@pytest.mark.parametrize(
    ("name", "style"),
    [("bare.pt", "official"), ("wrapped.pth", "official"), ("x.bin", "timm"), ("x.safetensors", "timm")],
)
def test_info_of_foreign_files(densevit, name, style):
    said = describe(densevit, foreign_file(name, style=style))
    assert (said["name"], said["task"], said["architecture"]) == ("cls-b0-r224", "classification", "cls-b0")
    assert said["params"] == 3_410_008
    assert said["class_names"][0] == "tench"
    assert (said["size"], said["crop_ratio"]) == ("exact:224x224", 0.95)


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors", ".pt", ".pth", ".bin"])
@pytest.mark.parametrize("kind", ["missing", "empty", "noise", "folder"])
def test_info_of_rubbish(densevit, tmp_path, kind, suffix):
    path = tmp_path / f"x{suffix}"
    match kind:
        case "empty":
            path.touch()
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(4000))
        case "folder":
            path.mkdir()
    check_refusal(densevit("info", path), str(path))


def test_info_of_truncated_files(densevit, tmp_path):
    for path in (classifier_file(), foreign_file("bare.pt")):
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[: len(content) // 2])
        check_refusal(densevit("info", path.name, "--json"), path.name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "cls-b9"}, "cls-b9"),
        ({"task": "divination"}, "divination"),
        ({"crop_ratio": 0}, "crop_ratio"),
        ({"format": 99}, "format"),
        ({"soul": 1}, "soul"),
    ],
)
def test_info_of_headers_that_lie(densevit, tmp_path, changes, message):
    header = json.loads(classifier_manifest().to_json()) | changes
    write_tensors(
        tmp_path / "x.safetensors", {"a": np.zeros(3, np.float32)}, metadata={METADATA_KEY: json.dumps(header)}
    )
    check_refusal(densevit("info", "x.safetensors"), message)


def test_suffixes_are_compared_without_case(densevit, tmp_path):
    for path in (classifier_graph(), classifier_file(), foreign_file("bare.pt")):
        (tmp_path / f"x{path.suffix.upper()}").symlink_to(path)
    assert describe(densevit, "x.ONNX")["name"] == "tiny-classifier"
    assert describe(densevit, "x.SAFETENSORS")["name"] == "tiny-classifier"
    assert describe(densevit, "x.PT")["name"] == "cls-b0-r224"


def test_scores_have_titles_units_and_digits(densevit, tmp_path):
    metrics = {"own": 0.00123, "sr/val/psnr_y": 31.994, "sr/val/ssim_y": 0.89741}
    header = json.loads(classifier_manifest(metrics=metrics).to_json())
    write_tensors(
        tmp_path / "x.safetensors", {"a": np.zeros(3, np.float32)}, metadata={METADATA_KEY: json.dumps(header)}
    )
    done = densevit("info", "x.safetensors")
    (line,) = (line for line in done.out.splitlines() if line.startswith("metrics"))
    assert line.split(maxsplit=1)[1] == "own 0.0012, sr/val/PSNR on Y 31.99 dB, sr/val/SSIM on Y 0.8974"
