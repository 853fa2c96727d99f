"""ISPRS Potsdam: 38 aerial images of 6000 x 6000 px at 5 cm, six classes.

The splits are the benchmark's: 24 images published with labels, and 14 whose labels were its hidden test set.
"""

from __future__ import annotations

from pathlib import Path

from densevit.data.isprs import IsprsData, IsprsLayout

_LAYOUT = IsprsLayout(
    data_set="potsdam",
    images="2_Ortho_RGB",
    image="top_potsdam_{}_RGB.tif",
    labels=("5_Labels_all", "5_Labels_for_participants"),
    label="top_potsdam_{}_label.tif",
    eroded_labels=("5_Labels_all_noBoundary", "5_Labels_for_participants_no_Boundary"),
    eroded_label="top_potsdam_{}_label_noBoundary.tif",
    areas={
        "train": (
            "2_10 2_11 2_12 3_10 3_11 3_12 4_10 4_11 4_12 5_10 5_11 5_12 "
            "6_7 6_8 6_9 6_10 6_11 6_12 7_7 7_8 7_9 7_10 7_11 7_12"
        ),
        "val": "2_13 2_14 3_13 3_14 4_13 4_14 4_15 5_13 5_14 5_15 6_13 6_14 6_15 7_13",
    },
    archives="2_Ortho_RGB.zip, and 5_Labels_all.zip or 5_Labels_all_noBoundary.zip",
)


class Potsdam(IsprsData):
    """ISPRS Potsdam: `root/2_Ortho_RGB/top_potsdam_R_C_RGB.tif`, `root/5_Labels_all/top_potsdam_R_C_label.tif`.

    Args:
        root: folder of the data set.
        split: "train" or "val".
        eroded: see `IsprsData`.

    Raises:
        DataError: a folder or a file is missing.
    """

    def __init__(self, root: Path, split: str, *, eroded: bool | None = None) -> None:
        super().__init__(root, split, _LAYOUT, eroded=eroded)
