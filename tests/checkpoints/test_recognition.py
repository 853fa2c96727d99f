"""A file's tensors tell what they are, whoever named them."""

import pytest
import torch

from densevit.checkpoints.names import official_name, timm_name
from densevit.checkpoints.recognition import Recognition, find_nearest, recognize, shapes
from densevit.models.build import build
from densevit.variants import ARCHITECTURES, CLASSIFICATION, PROMPTABLE, SUPER_RESOLUTION


def tensors(name, *, classes=None, in_channels=3):
    with torch.device("meta"):
        return build(ARCHITECTURES[name], classes=classes, in_channels=in_channels).state_dict()


def classes_of(name):
    return 0 if name in PROMPTABLE or name in SUPER_RESOLUTION else ARCHITECTURES[name].classes


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_under_our_names_and_the_official_ones(name):
    state = tensors(name)
    expected = Recognition(name, classes_of(name), 3)
    assert recognize(state) == expected
    assert recognize({official_name(key, ARCHITECTURES[name]): value for key, value in state.items()}) == expected


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classifiers_under_the_names_of_timm(name):
    state = {timm_name(key, ARCHITECTURES[name]): value for key, value in tensors(name).items()}
    assert recognize(state) == Recognition(name, 1000, 3)


@pytest.mark.parametrize("name", ["seg-b0", "seg-b1-ade20k", "seg-l1-ade20k", "cls-b2"])
def test_other_classes_and_channels(name):
    assert recognize(tensors(name, classes=7, in_channels=4)) == Recognition(name, 7, 4)


def test_heads_of_the_same_backbone_are_told_apart():
    # 19 and 150 classes, but the head decides and not the count
    assert recognize(tensors("seg-b1", classes=150)) == Recognition("seg-b1", 150, 3)
    assert recognize(tensors("seg-b1-ade20k", classes=19)) == Recognition("seg-b1-ade20k", 19, 3)


def test_counters_of_batches_do_not_matter():
    state = {key: value for key, value in tensors("cls-b0").items() if not key.endswith("num_batches_tracked")}
    assert recognize(state) == Recognition("cls-b0", 1000, 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("head.hidden.weight"),
        lambda state: state.update(more=torch.empty(3)),
        lambda state: state.update({"backbone.stages.1.0.depth_conv.conv.weight": torch.empty(3, 3)}),
        lambda state: state.update({"head.classifier.weight": torch.empty(1000, 3)}),
        lambda state: state.clear(),
    ],
)
def test_what_fits_nothing(change):
    state = tensors("cls-b0")
    change(state)
    assert recognize(state) is None


def test_no_two_architectures_have_the_same_tensors():
    found = {name: frozenset(shapes(name).items()) for name in ARCHITECTURES}
    assert len(set(found.values())) == len(ARCHITECTURES)


@pytest.mark.parametrize("name", ["cls-b1", "cls-l2"])
@pytest.mark.parametrize("rename", [official_name, timm_name])
def test_the_nearest_is_found_whoever_named_the_tensors(name, rename):
    table = ARCHITECTURES[name]
    state = {rename(key, table): value for key, value in tensors(name).items()}
    del state[rename("head.norm.bias", table)]
    assert recognize(state) is None
    assert find_nearest(state) == (name, ["head.norm.bias is missing"])


def test_nothing_is_near_to_nothing():
    assert find_nearest({}) is None
    assert find_nearest({"a": torch.empty(3)}) is None


def test_weight_and_bias_of_the_classifier_must_agree():
    state = tensors("cls-b0") | {"head.classifier.bias": torch.empty(7)}
    assert recognize(state) is None
