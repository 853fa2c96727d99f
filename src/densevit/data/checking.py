"""A look at a few samples before the work begins, so that a mistake in the labels costs seconds, not hours."""

from __future__ import annotations

import logging

import numpy as np

from densevit.data.base import AnyData, DataError, SegmentationData
from densevit.metrics import IGNORE

_log = logging.getLogger("densevit")

SAMPLES = 4
"""So many samples, spread_indices over the set, are read in any case."""
MOST = 50
"""So many at most, where the first ones are suspicious."""


def check_samples(data: AnyData) -> None:
    """Reads some samples, which checks them as it always does, and looks for what only several can tell.

    Raises:
        DataError: what reading finds; no sample at all; no known label; two classes as 0 and 255.
        ImageError: an image that cannot be read.
    """
    if not len(data):
        raise DataError("this data holds no sample; is it the right folder and split?")
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
        if number >= min(SAMPLES, len(data)) and not _suspicion(seen, len(data.class_names)):
            return
    finding = f"of {len(order)} samples, {_suspicion(seen, len(data.class_names))}"
    if len(order) < len(data) and seen[:IGNORE].any():
        # a rare second class may be in the others
        _log.warning(finding)
        return
    raise DataError(finding)


def _suspicion(seen: np.ndarray[tuple[int], np.dtype[np.bool_]], classes: int) -> str:
    if not seen[:IGNORE].any():
        return "none has a pixel with a known label; is it the right split, are these the labels of this data?"
    if classes == 2 and seen[IGNORE] and not seen[1]:
        return "none has class 1, but 255 occurs, which means unknown; write the second class as 1 into the masks"
    return ""


def spread_indices(length: int, count: int) -> list[int]:
    """At most `count` different indices into `length`, from first to last, evenly spread_indices."""
    return sorted({round(index) for index in np.linspace(0, length - 1, min(count, length))})
