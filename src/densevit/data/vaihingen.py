"""ISPRS Vaihingen: 33 aerial images of about 2500 x 2000 px at 9 cm in near infrared, red and green; six classes.

The splits are the benchmark's: 16 areas published with labels, and 17 whose labels were its hidden test set.
"""

from __future__ import annotations

from pathlib import Path

from densevit.data.isprs import IsprsData, IsprsLayout

_LAYOUT = IsprsLayout(
    data_set="vaihingen",
    images="top",
    image="top_mosaic_09cm_area{}.tif",
    labels=(
        "ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE",
        "gts_for_participants",
    ),
    label="top_mosaic_09cm_area{}.tif",
    eroded_labels=(
        "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE",
        "gts_eroded_for_participants",
    ),
    eroded_label="top_mosaic_09cm_area{}_noBoundary.tif",
    areas={
        "train": "1 3 5 7 11 13 15 17 21 23 26 28 30 32 34 37",
        "val": "2 4 6 8 10 12 14 16 20 22 24 27 29 31 33 35 38",
    },
    archives=(
        "ISPRS_semantic_labeling_Vaihingen.zip, and for val its ground_truth_COMPLETE.zip or "
        "ground_truth_eroded_COMPLETE.zip"
    ),
)


class Vaihingen(IsprsData):
    """ISPRS Vaihingen: `root/top/top_mosaic_09cm_areaN.tif`,
    `root/gts_for_participants/top_mosaic_09cm_areaN.tif`.

    Args:
        root: folder of the data set.
        split: "train" or "val".
        eroded: see `IsprsData`.

    Raises:
        DataError: a folder or a file is missing.
    """

    def __init__(self, root: Path, split: str, *, eroded: bool | None = None) -> None:
        super().__init__(root, split, _LAYOUT, eroded=eroded)
