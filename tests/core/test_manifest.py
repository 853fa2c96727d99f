"""The header of weights and graphs: everything comes back, and what is not right is refused."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densevit.core.manifest import FORMAT, Manifest, ManifestError, match_manifest

FULL = Manifest(
    name="seg-b0-camvid",
    task="segmentation",
    architecture="seg-b0",
    class_names=("sky", "Straße"),
    palette=((0, 1, 2), (253, 254, 255)),
    mean=(0.5, 0.25, 0.125),
    std=(1.0, 2.0, 4.0),
    size="short:360",
    published_size="exact:1024x2048",
    resize="cv2_cubic",
    crop_ratio=0.95,
    multiple=64,
    weights_precision="fp16",
    verified_precisions=("fp32", "bf16"),
    weights_sha256="0" * 64,
    converter="1",
    licence="Apache-2.0",
    metrics={"camvid/val/miou": 70.25},
)


def changed(**values) -> str:
    return json.dumps({**json.loads(FULL.to_json()), **values})


def refused(text: str) -> str:
    with pytest.raises(ManifestError) as error:
        Manifest.from_json(text, source="folder/x.onnx")
    assert "folder/x.onnx" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("manifest", [FULL, Manifest("n", "classification", "a")])
def test_round_trip(manifest):
    text = manifest.to_json()
    assert "\n" not in text
    assert json.loads(text)["format"] == FORMAT
    assert Manifest.from_json(text, source="x") == manifest


def test_every_entry_is_tried_above():
    plain = Manifest("n", "classification", "a")
    for entry in dataclasses.fields(Manifest):
        assert getattr(FULL, entry.name) != getattr(plain, entry.name), entry.name


printable = st.text(min_size=1).filter(str.isprintable)


@given(printable, st.lists(printable, max_size=3), st.floats(allow_nan=False, allow_infinity=False))
def test_any_printable_text(name, class_names, score):
    manifest = Manifest(name, "segmentation", "a", tuple(class_names), metrics={name: score})
    assert Manifest.from_json(manifest.to_json(), source="x") == manifest


@pytest.mark.parametrize("name", ["name", "task", "architecture"])
def test_what_must_be_there(name):
    values = json.loads(FULL.to_json())
    del values[name]
    assert name in refused(json.dumps(values))


def test_what_need_not_be_there():
    text = json.dumps({"format": FORMAT, "name": "n", "task": "classification", "architecture": "a"})
    assert Manifest.from_json(text, source="x") == Manifest("n", "classification", "a")


@pytest.mark.parametrize("text", ["", "{", "nonsense", "{'format': 1}", FULL.to_json()[:-1], "[" * 100_000])
def test_no_json(text):
    assert "JSON" in refused(text)


@pytest.mark.parametrize(
    "text", ["[]", "null", "1", '"format"', "{}", changed(format=FORMAT + 1), changed(format="1")]
)
def test_another_format(text):
    assert f"format {FORMAT}" in refused(text)


def test_unknown_entries():
    assert "'color'" in refused(changed(color="red"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 3),
        ("name", None),
        ("task", ["segmentation"]),
        ("architecture", {}),
        ("class_names", "sky"),
        ("class_names", None),
        ("palette", "red"),
        ("mean", 0.5),
        ("std", None),
        ("size", 360),
        ("published_size", 1),
        ("resize", 1),
        ("multiple", "32"),
        ("multiple", 32.0),
        ("multiple", None),
        ("weights_precision", 16),
        ("verified_precisions", "fp32"),
        ("weights_sha256", 0),
        ("converter", 1),
        ("licence", None),
        ("name", ""),
        ("name", "two\nlines"),
        ("name", "x" * 10**6),
        ("task", "nonsense"),
        ("architecture", "\x1b[31m"),
        ("class_names", [1, 2]),
        ("class_names", ["sky", "two\nlines"]),
        ("class_names", ["sky", ""]),
        ("class_names", ["x"] * 100_000),
        ("palette", ["red", "blue"]),
        ("palette", [[0, 0, 0], [0, 0, 256]]),
        ("palette", [[0, 0, 0], [-1, 0, 0]]),
        ("palette", [[0, 0, 0], [0, 0]]),
        ("palette", [[0, 0, 0], [0.5, 0, 0]]),
        ("mean", ["a", "b", "c"]),
        ("mean", [float("nan")] * 3),
        ("mean", []),
        ("mean", [True] * 3),
        ("std", [1, 0, 1]),
        ("std", [1, -1, 1]),
        ("std", [float("inf")] * 3),
        ("resize", "nearest"),
        ("multiple", True),
        ("weights_precision", "int8"),
        ("verified_precisions", [16]),
        ("weights_sha256", "../x"),
        ("licence", ""),
        ("metrics", {"a": "b"}),
        ("metrics", {"a": float("nan")}),
        ("metrics", [1]),
        ("metrics", None),
    ],
)
def test_wrong_values(name, value):
    message = refused(changed(**{name: value}))
    assert f" {name} " in message
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.parametrize("palette", [[[0, 0, 0]], [[0, 0, 0]] * 3])
def test_a_color_for_every_class(palette):
    assert f"{len(palette)} colors for 2 classes" in refused(changed(palette=palette))


def test_no_palette_at_all():
    assert Manifest.from_json(changed(palette=[]), source="x").palette == ()


def test_a_mean_for_every_deviation():
    assert "2 means for 3 deviations" in refused(changed(mean=[0.5, 0.5]))


@pytest.mark.parametrize("ratio", [0, -0.5, 1.01, "1", None, True, float("nan")])
def test_crop_ratios(ratio):
    assert "crop_ratio" in refused(changed(crop_ratio=ratio))


@pytest.mark.parametrize("multiple", [0, -32, 8, 33, 1040, 10**12])
def test_multiples(multiple):
    assert str(multiple) in refused(changed(multiple=multiple))


class TestAnswering:
    """What an own file is where a model was asked for by name."""

    asked = Manifest("cls-b1-r288", "classification", "cls-b1", ("a", "b"), size="exact:288x288")

    def test_the_header_tells_what_it_is(self):
        own = dataclasses.replace(self.asked, metrics={"x": 1.0}, crop_ratio=0.5)
        assert match_manifest(own, self.asked) is own

    @pytest.mark.parametrize(
        "change", [{"architecture": "cls-b2"}, {"class_names": ("a", "c")}, {"class_names": ()}]
    )
    def test_another_model(self, change):
        assert match_manifest(dataclasses.replace(self.asked, **change), self.asked) is None

    def test_a_classifier_takes_the_resolution_of_the_name(self):
        own = dataclasses.replace(self.asked, name="cls-b1-r224", size="exact:224x224", metrics={"x": 1.0})
        assert match_manifest(own, self.asked) == dataclasses.replace(self.asked, metrics={"x": 1.0})

    def test_any_other_keeps_its_own_size(self):
        asked = dataclasses.replace(self.asked, task="segmentation")
        own = dataclasses.replace(asked, name="mine", size="native")
        assert match_manifest(own, asked) is own
