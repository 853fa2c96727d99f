"""Kinds of data by name."""

import pytest

from densevit.data.camvid import CamVid
from densevit.data.imagenet import ImageNetFolder
from densevit.data.table import CLASSIFICATION_DATA, DATA, KINDS, SEGMENTATION_DATA, open_data, parse_kind
from helpers.made import make_image, refused, save


def test_every_kind_has_one_task():
    kinds = "camvid cityscapes ade20k folder loveda potsdam vaihingen imagenet sr coco lvis sa1b"
    assert list(DATA) == kinds.split()
    assert sorted(kind for kinds in KINDS.values() for kind in kinds) == sorted(DATA)
    assert not SEGMENTATION_DATA.keys() & CLASSIFICATION_DATA.keys()


@pytest.mark.parametrize("kind", DATA)
def test_every_kind_explains_a_folder_that_is_not_there(tmp_path, kind):
    refused(lambda: open_data(f"{kind}:{tmp_path}/none", "val"), f"{tmp_path}/none")


@pytest.mark.parametrize("kind", DATA)
def test_every_kind_explains_an_empty_folder(tmp_path, kind):
    refused(lambda: open_data(f"{kind}:{tmp_path}", "val"), tmp_path, "nothing")


def test_data_of_either_task(tmp_path):
    save(tmp_path / "val" / "n01440764" / "x.png", make_image())
    assert isinstance(open_data(f"imagenet:{tmp_path}", "val"), ImageNetFolder)
    save(tmp_path / "c" / "val" / "x.png", make_image())
    save(tmp_path / "c" / "valannot" / "x.png", make_image()[..., 0] % 12)
    assert isinstance(open_data(f"camvid:{tmp_path}/c", "val"), CamVid)


def test_paths_may_hold_colons(tmp_path):
    refused(lambda: open_data(f"folder:{tmp_path}/a:b", "val"), f"{tmp_path}/a:b")
    assert parse_kind("folder:C:/data") == "folder"
