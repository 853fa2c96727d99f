"""The table of models: names of the contract, costs of the reference, what each says of itself."""

import pytest

from densevit import zoo
from densevit.core.classes import read_class_table
from densevit.core.manifest import Manifest
from densevit.imaging import SizePolicy
from densevit.tasks.table import make_task
from densevit.variants import find_architecture
from densevit.zoo import ZOO, UnknownModelError, find_model, find_published

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
    "cls-b0-r224": (3_410_008, 0.100),
    "cls-b1-r224": (9_102_024, 0.519),
    "cls-b1-r256": (9_102_024, 0.677),
    "cls-b1-r288": (9_102_024, 0.856),
    "cls-b2-r224": (24_330_712, 1.585),
    "cls-b2-r256": (24_330_712, 2.068),
    "cls-b2-r288": (24_330_712, 2.614),
    "cls-b3-r224": (48_646_056, 3.954),
    "cls-b3-r256": (48_646_056, 5.162),
    "cls-b3-r288": (48_646_056, 6.530),
    "cls-l1-r224": (52_654_088, 5.258),
    "cls-l2-r224": (63_707_016, 6.95),
    "cls-l2-r256": (63_707_016, 9.07),
    "cls-l2-r288": (63_707_016, 11.48),
    "cls-l2-r320": (63_707_016, 14.17),
    "cls-l2-r384": (63_707_016, 20.40),
    "cls-l3-r224": (246_037_288, 27.59),
    "cls-l3-r256": (246_037_288, 36.02),
    "cls-l3-r288": (246_037_288, 45.57),
    "cls-l3-r320": (246_037_288, 56.25),
    "cls-l3-r384": (246_037_288, 80.98),
    "sam-l0": (34_792_784, 34.8),
    "sam-l1": (47_650_128, 49.0),
    "sam-l2": (61_328_592, 68.6),
    "sam-xl0": (116_957_904, 184.8),
    "sam-xl1": (203_346_128, 321.9),
    # nobody states these: parameters of the file without its classifier, MACs as models/test_build.py counts them
    "mobile-sam": (9_808_452, 38.77),
}
# the paper's Table 6
IOU_OF_BOXES = {
    "sam-l0": {"iou": 74.5, "iou_large": 81.4, "iou_medium": 77.2, "iou_small": 68.2},
    "sam-l1": {"iou": 75.2, "iou_large": 81.8, "iou_medium": 78.1, "iou_small": 68.9},
    "mobile-sam": {"iou": 72.8, "iou_large": 80.4, "iou_medium": 75.9, "iou_small": 65.8},
}
# section 8 of the same page
PUBLISHED = {
    "seg-b0-cityscapes": {"miou": 75.653},
    "seg-b1-cityscapes": {"miou": 80.547},
    "seg-b2-cityscapes": {"miou": 82.073},
    "seg-b3-cityscapes": {"miou": 83.016},
    "seg-l1-cityscapes": {"miou": 82.716},
    "seg-l2-cityscapes": {"miou": 83.228},
    "seg-b1-ade20k": {"miou": 42.840},
    "seg-b2-ade20k": {"miou": 45.941},
    "seg-b3-ade20k": {"miou": 49.013},
    "seg-l1-ade20k": {"miou": 49.191},
    "seg-l2-ade20k": {"miou": 50.702},
    "cls-b0-r224": {},
    "cls-b1-r288": {"top1": 80.410, "top5": 94.984},
    "cls-b2-r256": {"top1": 82.698, "top5": 96.096},
    "cls-b3-r224": {"top1": 83.468, "top5": 96.356},
    "cls-l1-r224": {"top1": 84.484, "top5": 96.862},
    "cls-l2-r384": {"top1": 85.978, "top5": 97.518},
    "cls-l3-r320": {"top1": 86.230, "top5": 97.474},
    "sam-l0": {"coco_ap": 45.7, "lvis_ap": 41.8} | IOU_OF_BOXES["sam-l0"],
    "sam-l1": {"coco_ap": 46.2, "lvis_ap": 42.1} | IOU_OF_BOXES["sam-l1"],
    "sam-l2": {"coco_ap": 46.6, "lvis_ap": 42.7},
    "sam-b1": {},
    "mobile-sam": IOU_OF_BOXES["mobile-sam"],
    "sam-xl1": {"coco_ap": 47.8, "lvis_ap": 44.4},
    # the paper's Table 5, BSD100
    "sr-x2": {"psnr_y": 32.33, "ssim_y": 0.9019},
    "sr-x2-w0.75": {"psnr_y": 32.31, "ssim_y": 0.9016},
}
# trained in this project; nobody publishes them
OURS = ("seg-b0-camvid", "sr-x2", "sr-x2-w0.75", "sam-b1")
FILES = {  # section 1
    "seg-b0-cityscapes": "han-cai/efficientvit-seg/efficientvit_seg_b0_cityscapes.pt",
    "seg-l2-ade20k": "han-cai/efficientvit-seg/efficientvit_seg_l2_ade20k.pt",
    "cls-b2-r288": "han-cai/efficientvit-cls/efficientvit_b2_r288.pt",
    "cls-l3-r384": "han-cai/efficientvit-cls/efficientvit_l3_r384.pt",
    "sam-xl1": "mit-han-lab/efficientvit-sam/efficientvit_sam_xl1.pt",
    "mobile-sam": "dhkim2810/MobileSAM/mobile_sam.pt",
}


def test_the_names_of_the_contract():
    assert set(ZOO) == {*OURS, *COSTS}
    assert all(entry.name == name for name, entry in ZOO.items())


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_those_of_the_reference(name):
    params, macs = COSTS[name]
    cost = find_model(name).cost
    assert cost.params == params
    assert cost.macs == pytest.approx(macs * 1e9, rel=0.005)
    assert (cost.encoder_params is not None) == (find_model(name).task == "promptable")


@pytest.mark.parametrize(("name", "millions"), [("sam-l0", 31), ("sam-l1", 44)])
def test_encoders_alone_as_the_paper_counts(name, millions):
    # Table 6
    assert round(find_model(name).cost.encoder_params / 1e6) == millions


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name):
    assert find_model(name).published == PUBLISHED[name]


@pytest.mark.parametrize("name", FILES)
def test_published_files(name):
    hub = find_model(name).hub
    assert f"{hub.repository}/{hub.name}" == FILES[name]


def test_every_file_is_published_once():
    files = [(entry.hub.repository, entry.hub.name) for entry in ZOO.values() if entry.hub]
    assert len(set(files)) == len(files) == len(ZOO) - len(OURS)


@pytest.mark.parametrize("name", ZOO)
def test_rows_are_whole(name):
    entry = find_model(name)
    assert find_architecture(entry.architecture).name == entry.architecture
    manifest = entry.manifest()
    assert manifest.name == name
    assert manifest.task == entry.task
    assert str(make_task(manifest, size="published").size) == entry.published_size
    if entry.data_set:
        assert manifest.class_names == read_class_table(entry.data_set).names
        assert manifest.palette == read_class_table(entry.data_set).colors
    assert manifest.licence == "Apache-2.0"
    assert manifest.verified_precisions == {"fp32": {}}
    for policy in (manifest.size, manifest.published_size):
        SizePolicy.parse(policy)
    # what goes into a file must come out of it
    assert Manifest.from_json(manifest.to_json(), source="x") == manifest
    if entry.hub:
        assert entry.graph is entry.tensors is None


@pytest.mark.parametrize(
    ("name", "size", "published", "resolution"),
    [
        ("seg-b0-cityscapes", "short:1024", "exact:1024x2048", (1024, 2048)),
        ("seg-l2-ade20k", "short:512", "short:512/32", (512, 512)),
        ("cls-l2-r320", "exact:320x320", "exact:320x320", (320, 320)),
        ("sam-l2", "long:512", "long:512", (512, 512)),
        ("sam-xl0", "long:1024", "long:1024", (1024, 1024)),
        ("sam-b1", "long:512", "long:512", (512, 512)),
        ("mobile-sam", "long:1024", "long:1024", (1024, 1024)),
    ],
)
def test_working_sizes_of_the_contract(name, size, published, resolution):
    entry = find_model(name)
    assert (entry.size, entry.published_size, entry.resolution) == (size, published, resolution)


@pytest.mark.parametrize("name", COSTS)
def test_official_names_are_accepted(name):
    assert find_model(f"efficientvit-{name}") is ZOO[name]
    assert find_model(name.upper().replace("-", "_")) is ZOO[name]


@pytest.mark.parametrize(
    ("official", "name"),
    [
        ("efficientvit-b1-r224", "cls-b1-r224"),
        ("efficientvit-cls-l3-r384", "cls-l3-r384"),
        ("efficientvit_b1.r288_in1k", "cls-b1-r288"),
        ("efficientvit-sam-xl0", "sam-xl0"),
        ("mobile_sam", "mobile-sam"),
    ],
)
def test_names_from_elsewhere(official, name):
    assert find_model(official) is ZOO[name]


@pytest.mark.parametrize(("variant", "ratio"), [("b0", 0.95), ("b1", 0.95), ("b2", 1), ("l1", 1), ("l3", 1)])
def test_crop_ratios(variant, ratio):
    # section 5; B0's is not documented
    assert find_model(f"cls-{variant}-r224").manifest().crop_ratio == ratio


def test_models_of_an_architecture():
    names = [entry.name for entry in find_published("cls-b1", 1000)]
    assert names == [
        "cls-b1-r224",
        "cls-b1-r256",
        "cls-b1-r288",
    ]
    assert [entry.name for entry in find_published("seg-b0", 19)] == ["seg-b0-cityscapes"]
    assert [entry.name for entry in find_published("sam-l0", 0)] == ["sam-l0"]
    # the bundled model is no published file
    assert find_published("seg-b0", 11) == []


@pytest.mark.parametrize(
    "name", ["", "seg", "efficientvit-", "seg-b0", "b0-cityscapes", "b1-r224", "cls-b1", "seg-b0-cityscapes.pt"]
)
def test_other_names_list_the_known(name):
    with pytest.raises(UnknownModelError) as caught:
        find_model(name)
    assert str(caught.value).startswith(f"unknown model {name!r}; known: ")
    assert all(known in str(caught.value) for known in ZOO)


def test_where_weights_are(monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "ASSETS", tmp_path)
    monkeypatch.setattr(zoo, "is_cached", lambda file: "_b1_" in file.name)
    assert find_model("seg-b0-camvid").weights == find_model("sam-b1").weights == "none"
    assert find_model("seg-b0-cityscapes").weights == "hub"
    assert find_model("seg-b1-cityscapes").weights == "cached"
    (tmp_path / "seg-b0-camvid.onnx").touch()
    assert find_model("seg-b0-camvid").weights == "bundled"
    assert find_model("seg-b0-camvid").graph == tmp_path / "seg-b0-camvid.onnx"
    # a file of a published name in the folder of assets is not taken for the published one
    (tmp_path / "seg-b0-cityscapes.onnx").touch()
    assert find_model("seg-b0-cityscapes").weights == "hub"
