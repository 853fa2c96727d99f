"""Data sets by the name that `--data KIND:PATH` gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from densevit.data.base import DataError, SegmentationData
from densevit.data.camvid import CamVid

SEGMENTATION_DATA: dict[str, Callable[[Path, str], SegmentationData]] = {"camvid": CamVid}
"""Kind -> (folder, split) -> data set."""


def open_data(text: str, split: str) -> SegmentationData:
    """The data set that `KIND:PATH` names.

    Raises:
        DataError: not of that form, an unknown kind, or a folder that is not laid out as it should be.
    """
    kind, separator, path = text.partition(":")
    if not separator or not path:
        raise DataError(f"{text}: data is given as KIND:PATH, such as camvid:data/camvid")
    if kind not in SEGMENTATION_DATA:
        raise DataError(f"{text}: unknown kind {kind!r}; known: {', '.join(SEGMENTATION_DATA)}")
    return SEGMENTATION_DATA[kind](Path(path), split)
