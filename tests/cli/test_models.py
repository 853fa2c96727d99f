"""`densevit models`."""

import json
import re

from densevit.zoo import ZOO

# reference/efficientvit.md, section 9
PARAMS = {
    "seg-b0-cityscapes": 706_691,
    "seg-b1-cityscapes": 4_803_443,
    "seg-b2-cityscapes": 15_323_779,
    "seg-b3-cityscapes": 39_603_155,
    "seg-l1-cityscapes": 40_242_227,
    "seg-l2-cityscapes": 52_607_923,
    "seg-b1-ade20k": 4_791_414,
    "seg-b2-ade20k": 15_293_382,
    "seg-b3-ade20k": 39_546_198,
    "seg-l1-ade20k": 40_409_526,
    "seg-l2-ade20k": 51_462_454,
}


def test_models_json_is_the_contract(densevit):
    done = densevit("models", "--json")
    assert (done.code, done.err) == (0, "")
    rows = json.loads(done.out)
    assert [row["name"] for row in rows] == list(ZOO)
    for row in rows:
        assert {"name", "task", "params", "macs", "resolution", "published", "weights", "licence"} <= row.keys()
        assert row["task"] in ("segmentation", "classification", "promptable", "super_resolution")
        assert ("encoder_params" in row) == (row["task"] == "promptable")
        assert type(row["params"]) is int
        assert isinstance(row["macs"], int | float)
        height, width = row["resolution"]
        assert type(height) is type(width) is int
        assert isinstance(row["published"], dict)
        assert row["weights"] in ("bundled", "cached", "hub", "none")
        assert row["licence"] == "Apache-2.0"
        if row["name"] in PARAMS:
            assert row["params"] == PARAMS[row["name"]]
            assert row["weights"] in ("cached", "hub")


def test_models_is_a_table_for_people(densevit):
    done = densevit("models")
    assert done.code == 0
    head, *lines = done.out.splitlines()
    assert head.startswith("name")
    assert [line.split()[0] for line in lines] == list(ZOO)
    assert "0.71 M" in done.out
    assert "1024x2048" in done.out


def test_classifiers_are_in_the_table(densevit):
    rows = {row["name"]: row for row in json.loads(densevit("models", "--json").out)}
    assert rows["cls-b1-r224"]["task"] == "classification"
    assert rows["cls-b0-r224"]["published"] == {}
    assert rows["sam-l0"]["encoder_params"] < rows["sam-l0"]["params"] == 34_792_784
    (line,) = (line for line in densevit("models").out.splitlines() if line.startswith("cls-l1-r224"))
    assert re.search(r"classification +52\.65 M +5\.26 G +224x224 +top-1 84\.48 %, top-5 96\.86 %", line)
    (line,) = (line for line in densevit("models").out.splitlines() if line.startswith("sr-x2 "))
    assert "PSNR on Y 32.33 dB, SSIM on Y 0.9019" in line
