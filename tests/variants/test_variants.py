"""Costs of every published model, from section 9 of the facts about the official checkpoints."""

import subprocess
import sys

import pytest

from densevit.variants import (
    ARCHITECTURES,
    BACKBONES,
    CLASSIFICATION,
    PROMPTABLE,
    SEGMENTATION,
    SUPER_RESOLUTION,
    BackboneTable,
    TinyViTTable,
    count,
    find_architecture,
)

CITYSCAPES, ADE20K = (1024, 2048), (512, 512)
PUBLISHED = {  # learnable parameters, 1e9 multiply-accumulates, at the size
    "seg-b0": (706_691, 4.39, CITYSCAPES),
    "seg-b1": (4_803_443, 25.1, CITYSCAPES),
    "seg-b2": (15_323_779, 73.6, CITYSCAPES),
    "seg-b3": (39_603_155, 179.2, CITYSCAPES),
    "seg-l1": (40_242_227, 282.5, CITYSCAPES),
    "seg-l2": (52_607_923, 396.1, CITYSCAPES),
    "seg-b1-ade20k": (4_791_414, 3.09, ADE20K),
    "seg-b2-ade20k": (15_293_382, 9.08, ADE20K),
    "seg-b3-ade20k": (39_546_198, 22.17, ADE20K),
    "seg-l1-ade20k": (40_409_526, 36.3, ADE20K),
    "seg-l2-ade20k": (51_462_454, 45.2, ADE20K),
}


PUBLISHED_SAM = ("sam-l0", "sam-l1", "sam-l2", "sam-xl0", "sam-xl1")


def test_every_published_model_has_a_table():
    assert set(SEGMENTATION) == set(PUBLISHED)
    assert set(CLASSIFICATION) == {f"cls-{name}" for name in ("b0", "b1", "b2", "b3", "l1", "l2", "l3")}
    assert set(PROMPTABLE) == {*PUBLISHED_SAM, "sam-b1", "mobile-sam"}
    assert set(SUPER_RESOLUTION) == {f"sr-x{scale}{width}" for scale in (2, 3, 4) for width in ("", "-w0.75")}
    assert set(ARCHITECTURES) == {*SEGMENTATION, *CLASSIFICATION, *PROMPTABLE, *SUPER_RESOLUTION}
    assert set(BACKBONES) == {"b0", "b1", "b2", "b3", "l0", "l1", "l2", "l3", "xl0", "xl1"}


def test_an_unknown_architecture_lists_the_known():
    with pytest.raises(ValueError, match=r"unknown architecture 'seg-b9'; known: .*seg-b0.*cls-l3.*sam-xl1"):
        find_architecture("seg-b9")


@pytest.mark.parametrize("name", PUBLISHED_SAM)
def test_segment_anything_has_an_epsilon_of_its_own(name):
    table = PROMPTABLE[name]
    assert table.encoder.backbone.norm_eps == table.decoder_norm_eps == 1e-6


@pytest.mark.parametrize("name", ["sam-b1", "mobile-sam"])
def test_the_decoder_of_mobile_sam_has_another(name):
    assert PROMPTABLE[name].decoder_norm_eps == 1e-5


@pytest.mark.parametrize("name", PROMPTABLE)
def test_embeddings_are_maps_of_64_by_64(name):
    table = PROMPTABLE[name]
    if isinstance(table.encoder, TinyViTTable):
        # of the stem, and of the steps between the stages
        stride, embedding = 4, table.encoder.embedding
        for stage in table.encoder.stages[:-1]:
            stride *= stage.down_stride
    else:
        stride, embedding = table.encoder.neck.strides[-1], table.encoder.neck.embedding
    assert table.side_px // stride == 64
    assert embedding == 256


def test_the_neck_of_b1_is_narrower_than_the_embedding():
    encoder = PROMPTABLE["sam-b1"].encoder
    assert encoder.backbone is BACKBONES["b1"]
    assert (encoder.neck.width, encoder.neck.depth, encoder.neck.embedding) == (128, 4, 256)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_macs(name):
    params, billions, size = PUBLISHED[name]
    cost = count(SEGMENTATION[name], size)
    assert cost.params == params
    assert cost.macs == pytest.approx(billions * 1e9, rel=0.005)


@pytest.mark.parametrize("name", PUBLISHED)
def test_tables_are_named_after_themselves(name):
    table = SEGMENTATION[name]
    assert table.name == name
    assert table.classes == (150 if name.endswith("ade20k") else 19)
    assert table.backbone is BACKBONES[name.split("-")[1]]


@pytest.mark.parametrize(
    ("name", "eps"), [("b0", 1e-5), ("b3", 1e-5), ("l0", 1e-6), ("l1", 1e-7), ("l3", 1e-7), ("xl1", 1e-6)]
)
def test_epsilons(name, eps):
    assert BACKBONES[name].norm_eps == eps


def test_another_class_count_changes_the_classifier_alone():
    table = SEGMENTATION["seg-b0"]
    one, two = (count(table, CITYSCAPES, classes=classes) for classes in (1, 2))
    assert two.params - one.params == 128 + 1
    assert two.macs - one.macs == 128 * 128 * 256


def test_more_channels_change_the_stem_alone():
    table = SEGMENTATION["seg-b0"]
    one, two = (count(table, CITYSCAPES, in_channels=channels) for channels in (1, 2))
    assert two.params - one.params == 9 * 8
    assert two.macs - one.macs == 9 * 8 * 512 * 1024


def test_ablations_take_away():
    whole = BACKBONES["b1"]
    single, local = whole.without_multi_scale(), whole.without_global_attention()
    full = count(whole, ADE20K)
    for smaller in (single, local):
        assert isinstance(smaller, BackboneTable)
        cost = count(smaller, ADE20K)
        assert cost.params < full.params
        assert cost.macs < full.macs
    # tables are data: the original is what it was
    assert whole == BACKBONES["b1"]
    assert count(BACKBONES["b1"], ADE20K) == full


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, -1)])
def test_sizes_below_a_pixel(size):
    with pytest.raises(ValueError, match="at least"):
        count(SEGMENTATION["seg-b0"], size)


def test_tables_need_no_torch():
    code = "import sys, densevit.variants; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
