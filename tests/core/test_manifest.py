"""The header of weights and graphs: everything comes back, and what is not right is refused."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densevit.core.manifest import (
    FORMAT,
    GoldenOutput,
    GoldenPair,
    Manifest,
    ManifestError,
    describe_mismatch,
    match_manifest,
)

FULL = Manifest(
    name="seg-b0-camvid",
    task="segmentation",
    architecture="seg-b0",
    multi_scale=False,
    global_attention=False,
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
    precision="fp16",
    verified_precisions={"fp32": {"camvid/val/miou": 70.25}, "bf16": {}},
    weights_sha256="0" * 64,
    converter="1",
    code_licence="MIT",
    licence="Apache-2.0",
    data_licence="CC-BY-4.0",
    metrics={"camvid/val/miou": 70.25},
    golden=GoldenPair(
        "forward",
        seed=3,
        shapes=((1, 64, 128, 3),),
        outputs={"logits": GoldenOutput((1, 2, 2, 1), (0.5, -1.25, 3.0, 1e-07))},
        tolerance=5e-4,
    ),
)
# as a version with format 1 wrote it
FORMAT_1 = {
    "architecture": "seg-b0",
    "class_names": ["sky"],
    "converter": "2",
    "format": 1,
    "licence": "Apache-2.0",
    "mean": [0.5],
    "metrics": {"camvid/val/miou": 70.82},
    "multiple": 32,
    "name": "seg-b0-camvid",
    "palette": [[128, 128, 128]],
    "published_size": "native",
    "resize": "pil_bilinear",
    "size": "short:720",
    "std": [0.25],
    "task": "segmentation",
    "verified_precisions": ["fp32", "bf16"],
    "weights_precision": "fp16",
    "weights_sha256": "b4",
}


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
    assert text == Manifest.from_json(text, source="x").to_json()
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
    "text",
    ["[]", "null", "1", '"format"', "{}", *(changed(format=value) for value in ("1", 0, -1, True, 1.0, None))],
)
def test_no_format(text):
    assert "no valid format number" in refused(text)


@pytest.mark.parametrize("version", [FORMAT + 1, 10**30])
def test_a_later_format(version):
    message = refused(json.dumps({"format": version, "anything": {}}))
    assert f"format {version}" in message
    assert message.endswith("; update densevit")


class TestFormat1:
    """Files of earlier versions are still read."""

    def test_new_entries_have_their_defaults(self):
        manifest = Manifest.from_json(json.dumps(FORMAT_1), source="x")
        assert manifest.verified_precisions == {"fp32": {}, "bf16": {}}
        assert (manifest.multi_scale, manifest.global_attention) == (True, True)
        assert (manifest.padding, manifest.input_range, manifest.layout) == ("edge", "0..255", "NHWC")
        assert (manifest.precision, manifest.golden) == ("fp32", None)
        assert (manifest.licence, manifest.code_licence, manifest.data_licence) == (
            *("Apache-2.0", "Apache-2.0"),
            "unknown",
        )
        for name in ("name", "architecture", "size", "metrics", "weights_sha256", "converter"):
            assert getattr(manifest, name) == FORMAT_1[name]

    def test_it_is_written_as_the_present_format(self):
        text = Manifest.from_json(json.dumps(FORMAT_1), source="x").to_json()
        assert json.loads(text)["format"] == FORMAT

    @pytest.mark.parametrize("name", ["multi_scale", "padding", "golden", "precision", "color"])
    def test_it_has_no_entries_of_later_formats(self, name):
        assert repr(name) in refused(json.dumps(FORMAT_1 | {name: None}))

    @pytest.mark.parametrize("value", ["fp32", [16], ["fp32", ["bf16"]], [""], None, {"a": 1}])
    def test_its_checks_are_as_strict(self, value):
        assert "verified_precisions" in refused(json.dumps(FORMAT_1 | {"verified_precisions": value}))


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("segmentation", ("edge", "0..255", "NHWC")),
        ("classification", ("edge", "0..255", "NHWC")),
        ("super_resolution", ("edge", "0..1", "NCHW")),
        ("promptable", ("zero", "normalized", "NCHW")),
    ],
)
def test_the_input_contract_of_each_task(task, expected):
    manifest = Manifest("n", task, "a")
    assert (manifest.padding, manifest.input_range, manifest.layout) == expected
    values = json.loads(manifest.to_json())
    assert (values["padding"], values["input_range"], values["layout"]) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("padding", "zero"), ("input_range", "0..1"), ("input_range", "normalized"), ("layout", "NCHW")],
)
def test_a_graph_that_wants_another_input_is_of_a_later_version(name, value):
    message = refused(changed(**{name: value}))
    assert f"{name} {value!r} is not known for a segmentation model; update densevit" in message


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
        ("verified_precisions", ["fp32"]),
        ("verified_precisions", {"fp32": 70.0}),
        ("verified_precisions", {"fp32": {"miou": "70"}}),
        ("verified_precisions", {"": {}}),
        ("verified_precisions", {f"fp{bits}": {} for bits in range(17)}),
        ("multi_scale", 1),
        ("multi_scale", None),
        ("global_attention", "no"),
        ("padding", "reflect"),
        ("padding", None),
        ("input_range", "0-255"),
        ("layout", "CHW"),
        ("layout", ["NHWC"]),
        ("precision", "int4"),
        ("code_licence", ""),
        ("data_licence", 3),
        ("data_licence", "x" * 1001),
        ("mean", [10**400]),
        ("crop_ratio", 10**400),
        ("std", [1.0] * 2000),
        ("metrics", {str(index): 1.0 for index in range(2000)}),
        ("metrics", {"two\nlines": 1.0}),
        ("weights_sha256", 0),
        ("converter", 1),
        ("licence", None),
        ("name", ""),
        ("name", "two\nlines"),
        ("name", "x" * 10**6),
        ("task", "two\nlines"),
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


GOLDEN = json.loads(FULL.to_json())["golden"]
OUTPUT = GOLDEN["outputs"]["logits"]


@pytest.mark.parametrize(
    "value",
    [
        *({}, [], "forward", 1, {key: entry for key, entry in GOLDEN.items() if key != "seed"}),
        *(GOLDEN | {"function": value} for value in ("", None, 3)),
        *(GOLDEN | {"seed": value} for value in (-1, 2**32, 1.0, True)),
        *(GOLDEN | {"tolerance": value} for value in (0, -1, float("nan"), float("inf"), "1")),
        # nothing that whoever checks the file could not hold in memory
        *(GOLDEN | {"shapes": value} for value in ([[2**25]], [[2**13] * 2], [[0]], [[1.5]], [1], "1", [[1] * 9])),
        *(GOLDEN | {"shapes": [[10**30]]}, GOLDEN | {"shapes": [[1]] * 9}),
        *(GOLDEN | {"outputs": value} for value in ({}, [], {"": OUTPUT}, {"logits": {}}, {"logits": [1.0]})),
        GOLDEN | {"outputs": {str(index): OUTPUT for index in range(9)}},
        GOLDEN | {"outputs": {"logits": OUTPUT | {"values": [1.0] * 65, "shape": [65]}}},
        GOLDEN | {"outputs": {"logits": OUTPUT | {"values": [1.0] * 3}}},
        GOLDEN | {"outputs": {"logits": OUTPUT | {"values": [1.0, 2.0, 3.0, float("nan")]}}},
        GOLDEN | {"outputs": {"logits": OUTPUT | {"shape": [4], "more": 1}}},
        GOLDEN | {"more": 1},
    ],
    ids=str,
)
def test_wrong_golden_pairs(value):
    assert " golden " in refused(changed(golden=value))


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

    @pytest.mark.parametrize("name", ["multi_scale", "global_attention"])
    def test_an_ablated_network_is_another_model(self, name):
        own = dataclasses.replace(self.asked, **{name: False})
        assert match_manifest(own, self.asked) is None
        assert match_manifest(own, own) is own
        message = describe_mismatch("x.safetensors", own, self.asked)
        assert (
            f"x.safetensors: holds cls-b1 without {name} with 2 classes (cls-b1-r288), but cls-b1 with 2"
            in message
        )

    def test_a_classifier_takes_the_resolution_of_the_name(self):
        own = dataclasses.replace(self.asked, name="cls-b1-r224", size="exact:224x224", metrics={"x": 1.0})
        assert match_manifest(own, self.asked) == dataclasses.replace(self.asked, metrics={"x": 1.0})

    def test_any_other_keeps_its_own_size(self):
        asked = dataclasses.replace(self.asked, task="segmentation")
        own = dataclasses.replace(asked, name="mine", size="native")
        assert match_manifest(own, asked) is own
