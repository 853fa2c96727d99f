"""A start takes the whole backbone of any weights, and no other backbone."""

import pytest
import torch

from densevit.checkpoints.state import save_own
from densevit.core.errors import InputError
from densevit.models.build import create_model
from densevit.train.start import find_backbone, start_from
from densevit.zoo import find_model
from helpers import tiny


def test_any_weights_with_the_same_backbone_will_do():
    classifier = create_model("cls-b0")
    head = {name: value.clone() for name, value in classifier.head.state_dict().items()}
    start_from(classifier, tiny.safetensors())
    expected = tiny.stored()[0].backbone.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in classifier.backbone.state_dict().items())
    assert all(torch.equal(value, head[name]) for name, value in classifier.head.state_dict().items())


def test_epsilon_may_differ(tmp_path):
    with torch.device("meta"):
        segmenter, promptable = create_model("seg-l1", classes=19), create_model("sam-l1")
    assert find_backbone(segmenter).table != find_backbone(promptable).table
    segmenter = create_model("seg-l1", classes=19)
    save_own(segmenter, tmp_path / "l1.safetensors", find_model("seg-l1-cityscapes").manifest())
    promptable = create_model("sam-l1")
    start_from(promptable, tmp_path / "l1.safetensors")
    name = "stages.4.0.point_conv.conv.weight"
    learned = segmenter.backbone.state_dict()[name]
    assert torch.equal(find_backbone(promptable).state_dict()[name], learned.half().float())


def test_another_backbone_is_refused():
    with pytest.raises(InputError, match=r"its backbone is b0 \(seg-b0\), the model's is b1"):
        start_from(create_model("seg-b1"), tiny.safetensors())


def test_a_file_without_a_backbone_of_this_kind_is_refused():
    with pytest.raises(InputError, match="its backbone is sr"):
        start_from(create_model("seg-b0"), tiny.sr_safetensors())
