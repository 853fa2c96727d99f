"""The table of models: names of the contract, costs of the reference, what each says of itself."""

import pytest

from densevit import zoo
from densevit.classes import class_table
from densevit.imaging import SizePolicy
from densevit.variants import SEGMENTATION
from densevit.zoo import ZOO, UnknownModelError, find

# reference/efficientvit.md, section 9: parameters, and MACs in G as printed
COSTS = {
    "seg-b0-cityscapes": (706_691, 4.39),
    "seg-b1-cityscapes": (4_803_443, 25.1),
    "seg-b2-cityscapes": (15_323_779, 73.6),
    "seg-b3-cityscapes": (39_603_155, 179.2),
    "seg-l1-cityscapes": (40_242_227, 282.5),
    "seg-l2-cityscapes": (52_607_923, 396.1),
    "seg-b1-ade20k": (4_791_414, 3.09),
    "seg-b2-ade20k": (15_293_382, 9.08),
    "seg-b3-ade20k": (39_546_198, 22.17),
    "seg-l1-ade20k": (40_409_526, 36.3),
    "seg-l2-ade20k": (51_462_454, 45.2),
}
MIOU = {
    "seg-b0-cityscapes": 75.653,
    "seg-b1-cityscapes": 80.547,
    "seg-b2-cityscapes": 82.073,
    "seg-b3-cityscapes": 83.016,
    "seg-l1-cityscapes": 82.716,
    "seg-l2-cityscapes": 83.228,
    "seg-b1-ade20k": 42.840,
    "seg-b2-ade20k": 45.941,
    "seg-b3-ade20k": 49.013,
    "seg-l1-ade20k": 49.191,
    "seg-l2-ade20k": 50.702,
}


def test_the_names_of_the_contract():
    assert {name for name in ZOO if name.startswith("seg-")} == {"seg-b0-camvid", *COSTS}
    assert all(entry.name == name for name, entry in ZOO.items())


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_those_of_the_reference(name):
    params, macs = COSTS[name]
    cost = find(name).cost
    assert cost.params == params
    assert cost.macs == pytest.approx(macs * 1e9, rel=0.005)


@pytest.mark.parametrize("name", MIOU)
def test_published_figures(name):
    assert find(name).published == {"miou": MIOU[name]}


@pytest.mark.parametrize("name", ZOO)
def test_rows_are_whole(name):
    entry = find(name)
    assert entry.architecture in SEGMENTATION
    manifest = entry.manifest()
    assert manifest.name == name
    assert manifest.class_names == class_table(entry.data_set).names
    assert manifest.palette == class_table(entry.data_set).colours
    assert manifest.licence == "Apache-2.0"
    assert manifest.verified_precisions == ("fp32",)
    for policy in (manifest.size, manifest.published_size):
        SizePolicy.parse(policy)
    if entry.hub:
        assert entry.hub.name == f"efficientvit_{name.replace('-', '_')}.pt"
        assert entry.graph is entry.tensors is None


@pytest.mark.parametrize(
    ("name", "size", "published", "resolution"),
    [
        ("seg-b0-cityscapes", "short:1024", "exact:1024x2048", (1024, 2048)),
        ("seg-l2-ade20k", "short:512", "short:512/32", (512, 512)),
    ],
)
def test_working_sizes_of_the_contract(name, size, published, resolution):
    entry = find(name)
    assert (entry.size, entry.published_size, entry.resolution) == (size, published, resolution)


@pytest.mark.parametrize("name", COSTS)
def test_official_names_are_accepted(name):
    assert find(f"efficientvit-{name}") is ZOO[name]
    assert find(name.upper().replace("-", "_")) is ZOO[name]


@pytest.mark.parametrize("name", ["", "seg", "efficientvit-", "seg-b0", "b0-cityscapes", "seg-b0-cityscapes.pt"])
def test_other_names_list_the_known(name):
    with pytest.raises(UnknownModelError) as caught:
        find(name)
    assert str(caught.value).startswith(f"unknown model {name!r}; known: ")
    assert all(known in str(caught.value) for known in ZOO)


def test_where_weights_are(monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "ASSETS", tmp_path)
    monkeypatch.setattr(zoo, "is_cached", lambda file: "_b1_" in file.name)
    assert find("seg-b0-camvid").weights == "none"
    assert find("seg-b0-cityscapes").weights == "hub"
    assert find("seg-b1-cityscapes").weights == "cached"
    (tmp_path / "seg-b0-camvid.onnx").touch()
    assert find("seg-b0-camvid").weights == "bundled"
    assert find("seg-b0-camvid").graph == tmp_path / "seg-b0-camvid.onnx"
    # a file of a published name in the folder of assets is not taken for the published one
    (tmp_path / "seg-b0-cityscapes.onnx").touch()
    assert find("seg-b0-cityscapes").weights == "hub"
