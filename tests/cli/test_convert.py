"""`densevit convert`: official and timm weights in densevit's .safetensors format."""

import errno
import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import densevit as package
from densevit.checkpoints.names import official_name
from densevit.core.classes import read_class_table
from densevit.core.manifest import METADATA_KEY, Manifest
from densevit.variants import ARCHITECTURES
from densevit.weights import read_tensors, write_tensors
from helpers import tiny
from helpers.foreign_weights import foreign_file, foreign_state
from helpers.verbs import check_refusal, describe
from test_torch_free_verbs import NAMES, classifier, classifier_file

B1 = ("cls-b1-r224", "cls-b1-r256", "cls-b1-r288")


@pytest.fixture
def put(tmp_path):
    """Puts a file of the session under another name into the folder of a test."""

    def link(path: Path, name: str) -> Path:
        os.link(path, tmp_path / name)
        return tmp_path / name

    return link


def logits(path: Path, manifest_name: str | None = None) -> np.ndarray:
    model = (
        package.load(path, runtime="eager", device="cpu", threads=1)
        if manifest_name is None
        else package.load(manifest_name, weights=path, runtime="eager", device="cpu", threads=1)
    )
    return model.logits(tiny.image(100, 120))


# --- what becomes of foreign files


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("bare.pt", "official"),
        ("wrapped.pt", "official"),
        ("x.safetensors", "official"),
        ("x.bin", "timm"),
        ("wrapped.pth", "timm"),
        ("x.safetensors", "timm"),
    ],
)
def test_foreign_weights_become_an_own_file(densevit, tmp_path, written, name, style):
    source = foreign_file(name, style=style)
    done = densevit("convert", source, "made/for it/own.safetensors", "--json")
    assert (done.code, done.err) == (0, "")
    target = tmp_path / "made" / "for it" / "own.safetensors"
    assert written(tmp_path) == {"made/for it/own.safetensors"}
    report = json.loads(done.out)
    assert (report["file"], report["model"]) == ("made/for it/own.safetensors", "cls-b0-r224")
    assert (report["architecture"], report["classes"]) == ("cls-b0", 1000)
    assert report["bytes"] == target.stat().st_size
    arrays, metadata = read_tensors(target)
    manifest = Manifest.from_json(metadata[METADATA_KEY], source="target")
    assert manifest.weights_sha256 == report["weights_sha256"]
    assert (manifest.name, manifest.size, manifest.crop_ratio) == ("cls-b0-r224", "exact:224x224", 0.95)
    assert manifest.class_names == read_class_table("imagenet").names
    assert {str(array.dtype) for array in arrays.values()} == {"float16", "float32"}
    # the values are those of the source, rounded
    network = classifier(classes=1000).state_dict()
    assert arrays.keys() == {key for key in network if not key.endswith("num_batches_tracked")}
    for key, array in arrays.items():
        assert np.array_equal(array, network[key].numpy().astype(array.dtype))


def test_what_was_converted_answers_as_its_source(densevit, tmp_path):
    source = foreign_file("bare.pt")
    assert densevit("convert", source, "own.safetensors").code == 0
    assert np.abs(logits(tmp_path / "own.safetensors") - logits(source, "cls-b0-r224")).max() < 0.05
    assert describe(densevit, "own.safetensors")["name"] == "cls-b0-r224"


def test_one_line_for_people(densevit):
    done = densevit("convert", foreign_file("bare.pt"), "own.safetensors")
    assert (done.code, done.err) == (0, "")
    (line,) = done.out.splitlines()
    assert "own.safetensors" in line
    assert "cls-b0-r224" in line


def test_own_files_are_copied_as_they_are(densevit, tmp_path):
    done = densevit("convert", classifier_file(), "copy.safetensors", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["model"] == "tiny-classifier"
    before, after = read_tensors(classifier_file()), read_tensors(tmp_path / "copy.safetensors")
    assert before[0].keys() == after[0].keys()
    assert all(np.array_equal(before[0][key], after[0][key]) for key in before[0])
    assert json.loads(before[1][METADATA_KEY]) == json.loads(after[1][METADATA_KEY])


@pytest.mark.parametrize("model", ["cls-b0-r224", "efficientvit-b0-r224"])
def test_the_model_may_be_named(densevit, model):
    done = densevit("convert", foreign_file("bare.pt"), "own.safetensors", "--model", model, "--json")
    assert json.loads(done.out)["model"] == "cls-b0-r224"


@pytest.mark.needs_shared
def test_the_published_file_tells_what_it_is_and_becomes_an_own_one(densevit, shared, tmp_path):
    source = shared / "weights" / "efficientvit_seg_b0_cityscapes.pt"
    shutil.copyfile(source, tmp_path / "x.pt")
    said = describe(densevit, "x.pt")
    assert (said["name"], said["params"]) == ("seg-b0-cityscapes", 706_691)
    assert len(said["class_names"]) == 19
    assert densevit("convert", "x.pt", "own.safetensors").code == 0
    own = describe(densevit, "own.safetensors")
    assert (own["name"], own["class_names"]) == ("seg-b0-cityscapes", said["class_names"])


# --- which of several resolutions


def b1(style: str = "official") -> Path:
    return foreign_file("x.pt", "cls-b1", style=style)


@pytest.mark.parametrize(
    "name",
    [
        *("x.pt", "efficientvit_b1.pt", "b1_r320.pt", "b1_r224_r256.pt", "our224.pt", "r256/x.pt"),
        "b1_r2240.pt",
    ],
)
def test_shapes_alone_do_not_tell_the_resolution(densevit, put, tmp_path, written, name):
    (tmp_path / "r256").mkdir()
    put(b1(), name)
    line = check_refusal(densevit("convert", name, "own.safetensors"), name, *B1, "--model")
    assert "cls-b0" not in line
    assert "cls-b2" not in line
    assert written(tmp_path) == {name}


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("efficientvit_b1_r224.pt", 224),
        ("efficientvit_b1_r256.pt", 256),
        ("efficientvit_b1_r288.pth", 288),
        ("r256.pt", 256),
        ("efficientvit_b1.r288_in1k.bin", 288),
    ],
)
def test_the_name_of_the_file_decides(densevit, put, name, side):
    put(b1("timm" if name.endswith(".bin") else "official"), name)
    said = describe(densevit, name)
    assert (said["name"], said["size"]) == (f"cls-b1-r{side}", f"exact:{side}x{side}")


def test_the_users_word_counts_more_than_the_name_of_the_file(densevit, put):
    put(b1(), "efficientvit_b1_r224.pt")
    done = densevit("convert", "efficientvit_b1_r224.pt", "own.safetensors", "--model", "cls-b1-r288", "--json")
    assert json.loads(done.out)["model"] == "cls-b1-r288"
    assert describe(densevit, "own.safetensors")["size"] == "exact:288x288"


# --- what is not the model's


def test_another_variant_names_the_tensors_and_the_one_that_fits(densevit, put, tmp_path):
    put(b1(), "x.pt")
    line = check_refusal(densevit("convert", "x.pt", "own.safetensors", "--model", "cls-b0-r224"), "x.pt", *B1)
    assert "cls-b0-r224" in line
    # three tensors at most, by name, and how many more there are
    assert re.search(r"backbone\.\S+ is (missing|unexpected|\()", line)
    assert re.search(r"and \d+ more", line)
    line = check_refusal(densevit("convert", foreign_file("bare.pt"), "own.safetensors", "-m", "cls-b2-r256"))
    assert "cls-b0-r224" in line
    assert not (tmp_path / "own.safetensors").exists()


def test_a_classifier_is_no_segmentation_model(densevit):
    check_refusal(
        densevit("convert", foreign_file("bare.pt"), "own.safetensors", "--model", "seg-b0-cityscapes"),
        "these are not this model's weights",
        "cls-b0-r224",
    )


def test_an_own_file_is_what_it_says(densevit):
    check_refusal(
        densevit("convert", classifier_file(), "own.safetensors", "--model", "cls-b1-r224"),
        "holds cls-b0 with 7 classes (tiny-classifier), but cls-b1 with 1000 classes (cls-b1-r224) was asked for",
    )


@pytest.mark.parametrize("change", ["one less", "one more", "another shape"])
def test_a_near_miss_names_the_tensor(densevit, tmp_path, change):
    state = dict(foreign_state())
    match change:
        case "one less":
            del state["head.op_list.2.norm.bias"]
            expected = "head.norm.bias is missing"
        case "one more":
            state["head.op_list.9.bias"] = torch.zeros(3)
            expected = "head.op_list.9.bias is unexpected"
        case "another shape":
            state["head.op_list.2.norm.bias"] = torch.zeros(7)
            expected = "head.norm.bias is (7,), the model's is (1280,)"
    torch.save(state, tmp_path / "x.pt")
    line = check_refusal(
        densevit("convert", "x.pt", "own.safetensors", "--model", "cls-b0-r224"), "x.pt", expected
    )
    assert "more)" not in line
    check_refusal(densevit("convert", "x.pt", "own.safetensors"), "x.pt", "no known model has such tensors")
    check_refusal(densevit("info", "x.pt"), "x.pt", "no known model has such tensors")
    assert not (tmp_path / "own.safetensors").exists()


def test_a_near_miss_without_a_name_says_what_comes_nearest(densevit, tmp_path):
    state = dict(foreign_state())
    del state["head.op_list.2.norm.bias"]
    torch.save(state, tmp_path / "x.pt")
    check_refusal(densevit("convert", "x.pt", "own.safetensors"), "cls-b0", "norm.bias")


# --- other classes


@pytest.fixture
def names(tmp_path) -> Path:
    """The names of seven classes, as people write such files."""
    path = tmp_path / "names.txt"
    path.write_text(
        "\n".join(["  ant ", "bee", "cat", "dog", "elk", "fox", "röd panda", "", ""]), encoding="utf-8"
    )
    return path


@pytest.mark.parametrize(("name", "style"), [("bare.pt", "official"), ("x.bin", "timm")])
def test_other_classes_are_named_by_a_file(densevit, tmp_path, names, name, style):
    source = foreign_file(name, classes=7, style=style)
    done = densevit("convert", source, "own.safetensors", "--model", "cls-b0-r224", "--classes", names, "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert (report["architecture"], report["classes"]) == ("cls-b0", 7)
    # it is not the published model
    assert report["model"] != "cls-b0-r224"
    said = describe(densevit, "own.safetensors")
    assert said["class_names"] == ["ant", "bee", "cat", "dog", "elk", "fox", "röd panda"]
    assert (said["size"], said["resize"], said["crop_ratio"]) == ("exact:224x224", "pil_bicubic", 0.95)
    assert logits(tmp_path / "own.safetensors").shape == (7,)


def test_segmentation_with_other_classes_gets_colors(densevit, tmp_path, names):
    table = ARCHITECTURES["seg-b0"]
    state = {official_name(key, table): value for key, value in tiny.network(classes=7).state_dict().items()}
    torch.save(state, tmp_path / "x.pt")
    done = densevit("convert", "x.pt", "own.safetensors", "-m", "seg-b0-cityscapes", "--classes", names)
    assert (done.code, done.err) == (0, "")
    model = package.load(tmp_path / "own.safetensors", runtime="eager", device="cpu", threads=1)
    assert model.task.class_names[0] == "ant"
    assert len(np.unique(model.task.palette, axis=0)) == 7


def test_other_classes_without_their_names_are_explained(densevit, tmp_path):
    source = foreign_file("bare.pt", classes=7)
    for verb in (["convert", source, "own.safetensors"], ["info", source]):
        check_refusal(densevit(*verb), "cls-b0 with 7 classes", "no published model")
    check_refusal(
        densevit("convert", source, "own.safetensors", "--model", "cls-b0-r224"),
        "head.classifier.weight is (7, 1280), the model's is (1000, 1280)",
        "cls-b0 with 7 classes",
    )
    assert not (tmp_path / "own.safetensors").exists()


def test_other_classes_without_their_names_point_to_the_option(densevit):
    done = densevit("convert", foreign_file("bare.pt", classes=7), "own.safetensors", "--model", "cls-b0-r224")
    check_refusal(done, "--classes")


@pytest.mark.parametrize("count", [1, 6, 8, 1000])
def test_a_wrong_number_of_names(densevit, tmp_path, count):
    (tmp_path / "names.txt").write_text("".join(f"class {index}\n" for index in range(count)))
    source = foreign_file("bare.pt", classes=7)
    done = densevit("convert", source, "own.safetensors", "--model", "cls-b0-r224", "--classes", "names.txt")
    check_refusal(done, f"is (7,), the model's is ({count},)", "cls-b0 with 7 classes")
    assert not (tmp_path / "own.safetensors").exists()


def test_names_without_a_model(densevit, names):
    check_refusal(
        densevit("convert", foreign_file("bare.pt", classes=7), "own.safetensors", "--classes", names),
        "--model",
        code=2,
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"\n  \n", "is empty"),
        (b"a\n\nb\n", "line 2 is empty"),
        (b"a\na\n", "occurs twice"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_lists_of_names_that_are_none(densevit, tmp_path, content, message):
    if content is not None:
        (tmp_path / "names.txt").write_bytes(content)
    source = foreign_file("bare.pt", classes=7)
    done = densevit("convert", source, "own.safetensors", "--model", "cls-b0-r224", "--classes", "names.txt")
    check_refusal(done, "names.txt", message)
    assert not (tmp_path / "own.safetensors").exists()


def test_classes_of_an_own_file_are_not_lost(densevit, tmp_path, names):
    # whether it renames or refuses: it must not say nothing and keep the old names
    done = densevit("convert", classifier_file(), "own.safetensors", "--model", "cls-b0-r224", "--classes", names)
    if done.code == 0:
        assert describe(densevit, "own.safetensors")["class_names"][-1] == "röd panda"
    else:
        check_refusal(done, "class")


@pytest.mark.parametrize("name", ["bell\x07", "x" * 1001])
def test_names_that_a_header_cannot_hold(densevit, tmp_path, name):
    (tmp_path / "names.txt").write_text("\n".join([*NAMES[:6], name]))
    (tmp_path / "own.safetensors").write_text("old")
    source = foreign_file("bare.pt", classes=7)
    done = densevit("convert", source, "own.safetensors", "--model", "cls-b0-r224", "--classes", "names.txt")
    check_refusal(done, "class_names")
    assert (tmp_path / "own.safetensors").read_text() == "old"


def test_names_from_a_windows_editor(densevit, tmp_path):
    (tmp_path / "names.txt").write_text("\r\n".join(NAMES), encoding="utf-8-sig")
    source = foreign_file("bare.pt", classes=7)
    done = densevit("convert", source, "own.safetensors", "--model", "cls-b0-r224", "--classes", "names.txt")
    assert (done.code, done.err) == (0, "")
    assert describe(densevit, "own.safetensors")["class_names"] == list(NAMES)


# --- the target


@pytest.mark.parametrize("target", ["own.pt", "own", "own.onnx", "own.safetensors.bak", "own.bin"])
def test_targets_of_other_kinds_are_refused(densevit, tmp_path, target):
    check_refusal(densevit("convert", classifier_file(), target), target, ".safetensors", code=2)
    assert not (tmp_path / target).exists()


def test_a_target_is_replaced(densevit, tmp_path, written):
    (tmp_path / "own.safetensors").write_text("old")
    assert densevit("convert", classifier_file(), "own.safetensors").code == 0
    assert describe(densevit, "own.safetensors")["name"] == "tiny-classifier"
    assert written(tmp_path) == {"own.safetensors"}


@pytest.mark.parametrize("way", ["a file for a folder", "a folder for a file", "a full disk"])
def test_a_target_that_cannot_be_written_leaves_nothing(densevit, tmp_path, written, monkeypatch, way):
    target = tmp_path / "there" / "own.safetensors"
    match way:
        case "a file for a folder":
            target.parent.write_text("in the way")
        case "a folder for a file":
            target.mkdir(parents=True)
        case "a full disk":

            def full(descriptor):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

            target.parent.mkdir()
            target.write_text("old")
            monkeypatch.setattr(os, "fsync", full)
    before = written(tmp_path)
    done = densevit("convert", classifier_file(), target)
    assert (done.code, done.out) == (1, "")
    (line,) = done.errors
    assert "there" in line
    assert written(tmp_path) == before
    if way == "a full disk":
        assert target.read_text() == "old"


@pytest.mark.parametrize("made", [classifier_file, lambda: foreign_file("x.safetensors")])
@pytest.mark.parametrize("target", ["x.safetensors", "./sub/../x.safetensors"])
def test_a_file_may_be_converted_into_itself(densevit, tmp_path, written, made, target):
    shutil.copyfile(made(), tmp_path / "x.safetensors")
    (tmp_path / "sub").mkdir()
    expected = describe(densevit, "x.safetensors")
    done = densevit("convert", "x.safetensors", target, "--json")
    assert (done.code, done.err) == (0, "")
    assert written(tmp_path) == {"x.safetensors"}
    said = describe(densevit, "x.safetensors")
    assert (said["name"], said["class_names"]) == (expected["name"], expected["class_names"])
    assert said["weights_sha256"] == json.loads(done.out)["weights_sha256"]


# --- sources that are none


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors", ".onnx", ""])
@pytest.mark.parametrize("kind", ["missing", "empty", "noise", "folder", "text"])
def test_rubbish_is_refused(densevit, tmp_path, written, kind, suffix):
    path = tmp_path / f"x{suffix}"
    match kind:
        case "empty":
            path.touch()
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(4000))
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("a letter\n" * 50)
    before = written(tmp_path)
    check_refusal(densevit("convert", path, "made/own.safetensors"), str(path))
    assert written(tmp_path) == before
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {}},
        {},
        {"a": 1},
        [torch.zeros(2)],
        torch.zeros(2),
        {"state_dict": {"a": [1, 2]}},
        {"a": torch.zeros(2).to_sparse()},
        {"a": torch.zeros(2, dtype=torch.complex64)},
        {"a": torch.zeros(2)},
        {1: torch.zeros(2)},
    ],
)
def test_other_things_in_a_checkpoint_are_refused(densevit, tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    for verb in (["convert", "x.pt", "own.safetensors"], ["info", "x.pt"]):
        check_refusal(densevit(*verb), "x.pt")


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_code_is_not_run(densevit, tmp_path, suffix):
    trap = Trap(tmp_path / "was run")
    (tmp_path / f"old{suffix}").write_bytes(pickle.dumps({"a": trap}, protocol=2))
    torch.save(foreign_state() | {"b": trap}, tmp_path / f"new{suffix}")
    for name in (f"old{suffix}", f"new{suffix}"):
        for verb in (["convert", name, "own.safetensors"], ["info", name]):
            check_refusal(densevit(*verb), f"{name}: refused", "safetensors")
    assert not (tmp_path / "was run").exists()
    assert not (tmp_path / "own.safetensors").exists()


def test_an_own_file_whose_tensors_were_changed(densevit, tmp_path):
    arrays, metadata = read_tensors(classifier_file())
    arrays["head.classifier.bias"] = arrays["head.classifier.bias"] + 1
    write_tensors(tmp_path / "x.safetensors", arrays, metadata=metadata)
    check_refusal(densevit("convert", "x.safetensors", "own.safetensors"), "x.safetensors", "SHA-256")


def test_a_network_of_other_channels_is_told(densevit, tmp_path):
    state = dict(foreign_state())
    state["backbone.input_stem.op_list.0.conv.weight"] = torch.zeros(8, 5, 3, 3)
    torch.save(state, tmp_path / "x.pt")
    check_refusal(densevit("convert", "x.pt", "own.safetensors"), "x.pt", "5 channels", "no published model")


@pytest.mark.parametrize(
    "arguments", [[], ["x.pt"], ["x.pt", "y.safetensors", "z"], ["x.pt", "y.safetensors", "--to", "z"]]
)
def test_wrong_use_is_explained(densevit, arguments):
    done = densevit("convert", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err


def test_unknown_models_list_the_known(densevit):
    check_refusal(
        densevit("convert", classifier_file(), "own.safetensors", "--model", "cls-b9-mars"),
        "unknown model 'cls-b9-mars'; known: ",
        "cls-b1-r224",
        code=2,
    )
