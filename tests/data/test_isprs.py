"""Potsdam and Vaihingen: areas, colors, eroded labels."""

import numpy as np
import pytest

from densevit.core.classes import read_class_table
from densevit.data.potsdam import Potsdam
from densevit.data.table import open_data
from densevit.data.vaihingen import Vaihingen
from densevit.imaging.draw import colorize
from helpers.made import make_image, refused, save

LABELS = np.arange(24, dtype=np.uint8).reshape(4, 6) % 6
COLORS = colorize(LABELS, read_class_table("potsdam").palette)
ERODED = colorize(np.where(LABELS == 2, 255, LABELS), read_class_table("potsdam").palette)
P_TRAIN = "2_10 2_11 2_12 3_10 3_11 3_12 4_10 4_11 4_12 5_10 5_11 5_12 6_10 6_11 6_12 6_7 6_8 6_9 7_10 7_11 7_12"
P_TRAIN = [*P_TRAIN.split(), "7_7", "7_8", "7_9"]
P_VAL = "5_15 6_15 6_13 3_13 4_14 6_14 5_14 2_13 4_15 2_14 5_13 4_13 3_14 7_13".split()  # noqa: SIM905
V_TRAIN = [1, 11, 13, 15, 17, 21, 23, 26, 28, 3, 30, 32, 34, 37, 5, 7]
V_VAL = [6, 24, 35, 16, 14, 22, 10, 4, 2, 20, 8, 31, 33, 27, 38, 12, 29]


def potsdam(root, areas=P_VAL, labels="5_Labels_all", *, colors=COLORS, end=""):
    for area in areas:
        save(root / "2_Ortho_RGB" / f"top_potsdam_{area}_RGB.tif", make_image())
        save(root / labels / f"top_potsdam_{area}_label{end}.tif", colors)


def vaihingen(root, areas, labels="gts_for_participants", *, colors=COLORS, end=""):
    for area in areas:
        save(root / "top" / f"top_mosaic_09cm_area{area}.tif", make_image())
        save(root / labels / f"top_mosaic_09cm_area{area}{end}.tif", colors)


def test_potsdam(tmp_path):
    potsdam(tmp_path)
    data = Potsdam(tmp_path, "val")
    names = [f"top_potsdam_{area}_RGB" for area in P_VAL]
    assert sorted(data[index].name for index in range(len(data))) == sorted(names)
    np.testing.assert_array_equal(data[0].labels, LABELS)
    np.testing.assert_array_equal(data[0].image, make_image())
    assert data.image_size(0) == (4, 6)
    assert data.class_names == ("impervious surface", "building", "low vegetation", "tree", "car", "clutter")
    potsdam(tmp_path, P_TRAIN, "5_Labels_for_participants")
    assert len(Potsdam(tmp_path, "train")) == 24


def test_vaihingen(tmp_path):
    vaihingen(tmp_path, V_TRAIN)
    assert len(Vaihingen(tmp_path, "train")) == 16
    # the participants' archive has no labels of the val areas
    for area in V_VAL:
        save(tmp_path / "top" / f"top_mosaic_09cm_area{area}.tif", make_image())
    message = refused(lambda: Vaihingen(tmp_path, "val"), "17 of the 17 images of split val lack labels")
    assert "ground_truth_COMPLETE.zip" in message
    # the complete one unpacks beside top
    vaihingen(tmp_path, V_VAL, ".")
    data = Vaihingen(tmp_path, "val")
    assert len(data) == 17
    np.testing.assert_array_equal(data[16].labels, LABELS)


@pytest.mark.parametrize(
    "where", ["5_Labels_all_noBoundary", "5_Labels_all_noBoundary/5_Labels_all_noBoundary", "."]
)
def test_eroded_labels_are_preferred(tmp_path, where):
    potsdam(tmp_path)
    potsdam(tmp_path, labels=where, colors=ERODED, end="_noBoundary")
    np.testing.assert_array_equal(Potsdam(tmp_path, "val")[3].labels, np.where(LABELS == 2, 255, LABELS))
    np.testing.assert_array_equal(Potsdam(tmp_path, "val", eroded=False)[3].labels, LABELS)


def test_eroded_labels_of_vaihingen(tmp_path):
    vaihingen(tmp_path, V_VAL, "gts_eroded_for_participants", colors=ERODED, end="_noBoundary")
    assert (Vaihingen(tmp_path, "val")[0].labels == 255).sum() == 4
    refused(lambda: Vaihingen(tmp_path, "val", eroded=False), "no labels for this image")


def test_colors_of_no_class(tmp_path):
    wrong = COLORS.copy()
    wrong[1, 2] = wrong[2, 5] = (0, 0, 0)
    potsdam(tmp_path, colors=wrong)
    refused(lambda: Potsdam(tmp_path, "val")[0], "2_13_label.tif", "2 pixels", "(0, 0, 0) at x 2, y 1")


def test_labels_that_are_not_colored(tmp_path):
    potsdam(tmp_path, colors=LABELS)
    refused(
        lambda: Potsdam(tmp_path, "val")[0],
        "RGB, one color per class, this one is L; take the file as it was published",
    )


def test_mistakes(tmp_path):
    root = tmp_path / "Potsdam"
    potsdam(root)
    refused(lambda: Potsdam(root, "test"), "no split 'test'; existing splits: train, val")
    refused(lambda: Potsdam(tmp_path, "val"), "one level too high", root)
    refused(lambda: Potsdam(root / "2_Ortho_RGB", "val"), "one level too low")
    refused(lambda: Potsdam(root, "train"), "24 of the 24 images of split train are missing", "2_Ortho_RGB.zip")
    (root / "5_Labels_all" / "top_potsdam_7_13_label.tif").unlink()
    refused(lambda: Potsdam(root, "val"), "top_potsdam_7_13_label.tif", "1 of the 14", "it holds 2_Ortho_RGB")
    save(root / "5_Labels_all" / "top_potsdam_7_13_label.tif", COLORS[:2])
    refused(lambda: Potsdam(root, "val")[13], "labels are 6 x 2 px", "is 6 x 4 px")


@pytest.mark.parametrize("kind", ["potsdam", "vaihingen"])
def test_by_kind_they_are_tiles(tmp_path, kind):
    if kind == "potsdam":
        potsdam(tmp_path)
        save(tmp_path / "2_Ortho_RGB" / "top_potsdam_2_13_RGB.tif", make_image(600, 520))
        save(tmp_path / "5_Labels_all" / "top_potsdam_2_13_label.tif", np.full((600, 520, 3), 255))
    else:
        vaihingen(tmp_path, V_VAL)
        save(tmp_path / "top" / "top_mosaic_09cm_area2.tif", make_image(600, 520))
        save(tmp_path / "gts_for_participants" / "top_mosaic_09cm_area2.tif", np.full((600, 520, 3), 255))
    data = open_data(f"{kind}:{tmp_path}", "val")
    assert len(data) == (14 if kind == "potsdam" else 17) + 3
    assert data[0].image.shape == (512, 512, 3)
    assert data[3].name.endswith("_y88_x8")
    assert data[4].image.shape == (4, 6, 3)
    assert sum(int((data[index].labels == 0).sum()) for index in range(4)) == 600 * 520
