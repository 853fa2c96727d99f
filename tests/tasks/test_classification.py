"""An image into a classifier's input, and its logits into names and probabilities."""

import errno
import json
import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from densevit.core.classes import read_class_table, read_imagenet_wnids
from densevit.core.errors import InputError, UnavailableError
from densevit.imaging import ImageError, Placement, Size, SizePolicy
from densevit.runtimes.eager import EagerRuntime
from densevit.tasks.classification import Classification, ClassificationResult, Guess, make_classification_task
from densevit.tasks.table import make_task
from densevit.zoo import ZOO, find_model
from helpers import tiny
from test_torch_free_verbs import NAMES, classifier, classifier_manifest

PLACEMENT = Placement(Size(30, 40), Size(30, 40), Size(30, 40))


def result(*logits: float) -> ClassificationResult:
    names = tuple(f"class {index}" for index in range(len(logits)))
    return ClassificationResult(np.array(logits, np.float32), names, PLACEMENT)


# --- the names that come with the package


def test_imagenet_has_a_thousand_classes_of_different_names():
    names = read_class_table("imagenet").names
    assert len(names) == len(set(names)) == 1000
    assert names[0] == "tench"
    assert all(name and name == name.strip() and name.isprintable() for name in names)


def test_wordnet_identifiers_are_in_the_order_of_the_outputs():
    wnids = read_imagenet_wnids()
    assert len(wnids) == len(set(wnids)) == 1000
    assert list(wnids) == sorted(wnids)
    assert all(len(wnid) == 9 and wnid[0] == "n" and wnid[1:].isdigit() for wnid in wnids)


@pytest.mark.parametrize(
    ("index", "wnid", "name"),
    [
        (0, "n01440764", "tench"),
        (1, "n01443537", "goldfish"),
        (207, "n02099601", "golden retriever"),
        (281, "n02123045", "tabby"),
        (388, "n02510455", "giant panda"),
        (817, "n04285008", "sports car"),
        (954, "n07753592", "banana"),
        (999, "n15075141", "toilet tissue"),
    ],
)
def test_well_known_classes_are_where_everybody_has_them(index, wnid, name):
    assert read_class_table("imagenet").names[index] == name
    assert read_imagenet_wnids()[index] == wnid


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.task == "classification"])
def test_published_classifiers_know_these_names(name):
    assert make_task(find_model(name).manifest()).class_names == read_class_table("imagenet").names


# --- the input


def published(image: np.ndarray, side: int, crop_ratio: float) -> np.ndarray:
    """Shorter side to ceil(side / crop_ratio), bicubic by Pillow, then the center (reference, section 5)."""
    image = Image.fromarray(image)
    short = math.ceil(side / crop_ratio)
    width, height = (int(short * length / min(image.size)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - side) / 2), round((height - side) / 2)
    return np.asarray(image.crop((left, top, left + side, top + side)))


@pytest.mark.parametrize("size", [None, "published"])
@pytest.mark.parametrize(
    ("name", "side", "crop_ratio"),
    [
        ("cls-b0-r224", 224, 0.95),
        ("cls-b1-r224", 224, 0.95),
        ("cls-b1-r288", 288, 0.95),
        ("cls-b2-r256", 256, 1.0),
        ("cls-b3-r224", 224, 1.0),
        ("cls-l1-r224", 224, 1.0),
        ("cls-l3-r384", 384, 1.0),
    ],
)
def test_published_models_see_what_the_published_evaluation_shows(name, side, crop_ratio, size):
    task = make_task(find_model(name).manifest(), size=size)
    for shape in ((300, 400), (401, 250), (224, 224), (60, 50)):
        image = tiny.image(*shape)
        tensors, placement = task.preprocess(image)
        assert np.array_equal(tensors["image"], published(image, side, crop_ratio)[None])
        assert (placement.image, placement.tensor) == (shape, (side, side))
    assert str(task.size) == f"exact:{side}x{side}"


@pytest.mark.parametrize(("height", "width"), [(224, 320), (32, 32), (448, 256)])
def test_other_exact_sizes_are_cropped_too(height, width):
    task = make_classification_task(find_model("cls-b1-r224").manifest(), size=f"exact:{height}x{width}")
    tensors, placement = task.preprocess(tiny.image(300, 400))
    assert tensors["image"].shape == (1, height, width, 3)
    assert placement.tensor == (height, width)
    assert all(
        content >= math.ceil(side / 0.95) for content, side in zip(placement.content, (height, width), strict=True)
    )
    assert max(placement.offset) < 0


@pytest.mark.parametrize("text", ["exact:230x224", "exact:224x230", "exact:16x16", "exact:224x225"])
def test_exact_sizes_that_the_network_cannot_take_are_refused(text):
    with pytest.raises(ValueError, match=rf"got {text}; allowed for cls-b1-r224: multiples of 32"):
        make_classification_task(find_model("cls-b1-r224").manifest(), size=text)


@pytest.mark.parametrize("text", ["huge", "exact:0x0", "exact:224", "224", "short:0"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match=r"size: got .*; allowed: native"):
        make_classification_task(find_model("cls-b1-r224").manifest(), size=text)


@pytest.mark.parametrize(
    ("text", "content", "tensor"),
    [
        ("native", (100, 150), (128, 160)),
        ("short:64", (64, 96), (64, 96)),
        ("short:230", (230, 345), (256, 352)),
        ("long:96", (64, 96), (64, 96)),
    ],
)
def test_other_sizes_show_the_whole_image(text, content, tensor):
    task = make_classification_task(find_model("cls-b1-r224").manifest(), size=text)
    image = tiny.image(100, 150)
    tensors, placement = task.preprocess(image)
    height, width = content
    assert placement == Placement(Size(100, 150), Size(*content), Size(*tensor))
    (shown,) = tensors["image"]
    assert shown.shape == (*tensor, 3)
    whole = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    assert np.array_equal(shown[:height, :width], np.asarray(whole))
    # padded with what was there, not with black
    assert (shown[:height, width:] == shown[:height, width - 1 : width]).all()
    assert (shown[height:] == shown[height - 1 : height]).all()


def test_a_strip_is_refused():
    task = make_classification_task(find_model("cls-b1-r224").manifest())
    with pytest.raises(ImageError, match="image of 20000 x 1 px"):
        task.preprocess(np.zeros((1, 20_000, 3), np.uint8))


def test_the_manifest_sets_the_task():
    manifest = classifier_manifest(size="exact:48x48", multiple=16, resize="pil_bilinear", crop_ratio=0.5)
    task = make_task(manifest)
    assert isinstance(task, Classification)
    assert (task.class_names, task.crop_ratio, task.resize) == (NAMES, 0.5, "pil_bilinear")
    image = tiny.image(60, 75)
    tensors, placement = task.preprocess(image)
    assert placement.content == (96, 120)
    expected = Image.fromarray(image).resize((120, 96), Image.Resampling.BILINEAR).crop((36, 24, 84, 72))
    assert np.array_equal(tensors["image"][0], np.asarray(expected))
    assert str(make_task(manifest, size="published").size) == "exact:96x96"


# --- what passes between the task and a runtime


@pytest.mark.parametrize("size", [None, "published", "native", "short:50", "exact:32x96"])
def test_signatures_are_what_passes_between_task_and_runtime(size):
    manifest = classifier_manifest()
    task = make_task(manifest, size=size)
    ((name, signature),) = task.signatures.items()
    (source,), (target,) = signature.inputs, signature.outputs
    assert (name, source.name, source.dtype, source.shape) == (
        "forward",
        "image",
        "uint8",
        ("batch", "height", "width", 3),
    )
    assert (target.name, target.dtype, target.shape) == ("logits", "float32", ("batch", 7))
    tensors, placement = task.preprocess(tiny.image(70, 90))
    assert tensors.keys() == {"image"}
    signature.check_inputs(tensors)
    tiny.one_thread()
    raw = EagerRuntime(classifier(), manifest, device="cpu", threads=1).run(name, tensors)
    target.check(raw["logits"])
    answer = task.postprocess(raw, placement)
    # the same by PyTorch alone: normalized as published
    x = torch.from_numpy(tensors["image"]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        expected = classifier()((x - mean) / std)[0].softmax(0)
    assert answer.probabilities() == pytest.approx(expected.numpy(), abs=1e-4)
    assert answer.class_names == NAMES
    assert answer.placement == placement


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((1, 6), np.float32), r"logits must be float32 \('batch', 7\), got float32 \(1, 6\)"),
        (np.zeros((1, 7)), "got float64"),
        (np.zeros(7, np.float32), r"got float32 \(7,\)"),
        (np.zeros((1, 7, 1, 1), np.float32), r"got float32 \(1, 7, 1, 1\)"),
        (np.zeros((2, 7), np.float32), "too many values|batch"),
    ],
)
def test_other_logits_are_refused(logits, message):
    task = make_task(classifier_manifest())
    _, placement = task.preprocess(tiny.image(64, 64))
    with pytest.raises(ValueError, match=message):
        task.postprocess({"logits": logits}, placement)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_refused(value):
    # as segmentation does: half precision can overflow
    task = make_task(classifier_manifest())
    _, placement = task.preprocess(tiny.image(64, 64))
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="finite"):
        task.postprocess({"logits": np.full((1, 7), value, np.float32)}, placement).top()


# --- results


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50))
@settings(max_examples=60, deadline=None)
def test_probabilities_are_a_softmax(logits):
    made = result(*logits)
    probabilities = made.probabilities()
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (len(logits),)
    assert math.isclose(probabilities.sum(dtype=float), 1, abs_tol=1e-5)
    assert probabilities == pytest.approx(torch.tensor(logits).double().softmax(0).numpy(), abs=1e-6)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ((3e38, -3e38, 0), (1, 0, 0)),
        ((1e4, 1e4, -1e4), (0.5, 0.5, 0)),
        ((-3e38, -3e38), (0.5, 0.5)),
        ((-1e30,), (1,)),
    ],
)
def test_huge_logits_do_not_overflow(logits, expected):
    assert result(*logits).probabilities() == pytest.approx(np.array(expected))
    assert result(*logits).top(1)[0].probability == pytest.approx(max(expected))


def test_the_best_come_first():
    guesses = result(0, 5, -2, 4, 3, 1, 2).top()
    assert [guess.index for guess in guesses] == [1, 3, 4, 6, 5]
    assert [guess.name for guess in guesses] == [f"class {index}" for index in (1, 3, 4, 6, 5)]
    exact = np.exp([5, 4, 3, 2, 1]) / np.exp([0, 5, -2, 4, 3, 1, 2]).sum()
    assert [guess.probability for guess in guesses] == pytest.approx(exact, abs=1e-6)
    assert all(type(guess.index) is int and type(guess.probability) is float for guess in guesses)


def test_of_equals_the_first_in_the_table_comes_first():
    assert [guess.index for guess in result(1, 2, 1, 2, 2, 0).top(6)] == [1, 3, 4, 0, 2, 5]
    # equal as probabilities, but not as logits
    assert [guess.index for guess in result(-200, -100, 0, -150).top(4)] == [2, 1, 3, 0]
    many = np.arange(1000, dtype=np.float32) % 3
    guesses = ClassificationResult(many, read_class_table("imagenet").names, PLACEMENT).top(1000)
    assert [guess.index for guess in guesses] == [*range(2, 1000, 3), *range(1, 1000, 3), *range(0, 1000, 3)]


@pytest.mark.parametrize(("count", "given"), [(1, 1), (2, 2), (3, 3), (4, 3), (1000, 3)])
def test_no_more_guesses_than_classes(count, given):
    assert len(result(1, 2, 3).top(count)) == given
    assert len(result(1, 2, 3).to_json(count=count)["top"]) == given


@pytest.mark.parametrize("count", [0, -1])
def test_no_guess_at_all_is_refused(count):
    for ask in (result(1, 2, 3).top, lambda count: result(1, 2, 3).to_json(count=count)):
        with pytest.raises(ValueError, match=f"count must be at least 1, got {count}"):
            ask(count)


def test_five_is_the_usual_number():
    assert len(result(*range(9)).top()) == len(result(*range(9)).to_json()["top"]) == 5


@pytest.mark.parametrize("shape", [(2,), (4,), (1, 3), ()])
def test_results_validate_their_shapes(shape):
    with pytest.raises(ValueError, match="there are 3 class names"):
        ClassificationResult(np.zeros(shape, np.float32), ("a", "b", "c"), PLACEMENT)


def test_json_is_the_size_and_the_best_guesses():
    said = json.loads(json.dumps(result(0, math.log(3)).to_json()))
    assert said == {
        "height": 30,
        "width": 40,
        "top": [
            {"index": 1, "name": "class 1", "probability": 0.75},
            {"index": 0, "name": "class 0", "probability": 0.25},
        ],
    }


def test_a_result_saves_itself(tmp_path):
    made = ClassificationResult(np.array([1, 2, 3], np.float32), ("é", "b", "c"), PLACEMENT)
    target = tmp_path / "made" / "for it" / "cat.v2"
    written = made.save(target, count=2)
    assert written == [tmp_path / "made" / "for it" / "cat.v2.classification.json"]
    assert json.loads(written[0].read_text(encoding="utf-8")) == made.to_json(count=2)
    assert made.save(str(target), count=3) == written
    assert json.loads(written[0].read_text(encoding="utf-8"))["top"][2]["name"] == "é"
    assert list(written[0].parent.iterdir()) == written


def test_a_save_onto_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "cat.classification.json").write_text("old")
    with pytest.raises(UnavailableError, match=os.strerror(errno.ENOSPC)):
        result(1, 2).save(tmp_path / "cat")
    assert [path.name for path in tmp_path.iterdir()] == ["cat.classification.json"]
    assert (tmp_path / "cat.classification.json").read_text() == "old"


def test_a_save_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "cat.classification.json").mkdir()
    with pytest.raises(InputError, match=r"cat\.classification\.json: is a folder"):
        result(1, 2).save(tmp_path / "cat")
    assert [path.name for path in tmp_path.iterdir()] == ["cat.classification.json"]
    with pytest.raises(ValueError, match="count"):
        result(1, 2).save(tmp_path / "dog", count=0)
    assert [path.name for path in tmp_path.iterdir()] == ["cat.classification.json"]


def test_a_guess_is_index_name_and_probability():
    assert result(0, 0).top(1) == [Guess(index=0, name="class 0", probability=0.5)]


def test_a_classifier_made_by_hand():
    task = Classification(("no", "yes"), size=SizePolicy.parse("exact:32x32"))
    tensors, placement = task.preprocess(tiny.image(40, 40))
    # the whole shorter side, bicubic
    assert np.array_equal(tensors["image"][0], published(tiny.image(40, 40), 32, 1.0))
    answer = task.postprocess({"logits": np.array([[0, 1]], np.float32)}, placement)
    assert answer.top(1)[0].name == "yes"
