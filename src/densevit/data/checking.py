"""Check a few samples before a long run, so that a mistake in the labels costs seconds, not hours."""

from __future__ import annotations

import logging

import numpy as np

from densevit.data.base import AnyData, DataError, SegmentationData
from densevit.metrics import IGNORE

_log = logging.getLogger("densevit")

SAMPLES = 4
"""Number of samples, spread over the data set, that are always read."""
MOST = 50
"""Largest number of samples that are read if the first ones look suspicious."""


def check_samples(data: AnyData) -> None:
    """Reads some samples, which checks each of them, and then checks their labels together.

    Raises:
        DataError: a sample is invalid, there is no sample, no pixel is labeled, or two classes are 0 and 255.
        ImageError: an image cannot be read.
    """
    if not len(data):
        raise DataError("this data has no samples; check the folder and the split")
    if isinstance(data, SegmentationData):
        _check_labels(data)
        return
    for index in spread_indices(len(data), SAMPLES):
        data[index]


def _check_labels(data: SegmentationData) -> None:
    seen = np.zeros(256, bool)
    order = spread_indices(len(data), SAMPLES)
    order += [index for index in spread_indices(len(data), MOST) if index not in order]
    for number, index in enumerate(order, start=1):
        seen[np.unique(data[index].labels)] = True
        if number >= min(SAMPLES, len(data)) and not _find_suspicion(seen, len(data.class_names)):
            return
    finding = f"of {len(order)} samples, {_find_suspicion(seen, len(data.class_names))}"
    if len(order) < len(data) and seen[:IGNORE].any():
        # the other samples may contain a rare second class
        _log.warning(finding)
        return
    raise DataError(finding)


def _find_suspicion(seen: np.ndarray[tuple[int], np.dtype[np.bool_]], classes: int) -> str:
    if not seen[:IGNORE].any():
        return "none has a labeled pixel; check the split and that these are the labels of this data"
    if classes == 2 and seen[IGNORE] and not seen[1]:
        return (
            "none has class 1, but some have 255, which means unlabeled; store the second class as 1 in the masks"
        )
    return ""


def spread_indices(length: int, count: int) -> list[int]:
    """At most `count` different indices below `length`, evenly spaced from the first to the last."""
    return sorted({round(index) for index in np.linspace(0, length - 1, min(count, length))})
