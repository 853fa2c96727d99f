"""Turn stored label values and colors into classes; refuse those that are neither a class nor ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densevit.data.base import DataError
from densevit.metrics import IGNORE

Color = tuple[int, int, int]

_FORBIDDEN = 254
"""Marks values in tables that no label may have. This leaves at most 254 classes."""
_ROWS = 512
"""Rows of colors that are looked up at a time: codes of 6000 x 6000 px at once would take 144 MB."""


def make_value_table(classes: Mapping[int, int], *, ignored: Iterable[int] = ()) -> NDArray[np.uint8]:
    """(256,) uint8: the class of each stored value, 255 where it is ignored.

    Args:
        classes: class of each stored value, both 0..255.
        ignored: stored values of pixels without a known class.
    """
    table = np.full(256, _FORBIDDEN, np.uint8)
    table[list(ignored)] = IGNORE
    for value, index in classes.items():
        table[value] = index
    return table


def map_values(
    values: NDArray[np.uint8], table: NDArray[np.uint8], *, path: Path, allowed: str
) -> NDArray[np.uint8]:
    """(H, W) stored values -> (H, W) classes and 255.

    Args:
        values: as stored in the label image.
        table: from `make_value_table`.
        path: of the label image, for the message.
        allowed: which values are allowed, and what to do about others.

    Raises:
        DataError: other values; the message says which ones and in how many pixels.
    """
    labels = table[values]
    if (wrong := labels == _FORBIDDEN).any():
        found = np.unique(values[wrong])
        shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise DataError(f"{path}: {_count_pixels(int(wrong.sum()))} of value {shown} found, {allowed}")
    return labels


def map_colors(
    colors: NDArray[np.uint8], palette: tuple[Color, ...], *, ignored: tuple[Color, ...] = (), path: Path
) -> NDArray[np.uint8]:
    """(H, W, 3) RGB colors -> (H, W) uint8 index into the palette, 255 where the color is ignored.

    Raises:
        DataError: other colors; the message says the first one and how many pixels have such colors.
    """
    table = _make_color_table(palette, ignored)
    labels = np.empty(colors.shape[:2], np.uint8)
    for top in range(0, len(colors), _ROWS):
        strip = colors[top : top + _ROWS].astype(np.uint32)
        labels[top : top + _ROWS] = table[strip[..., 0] << 16 | strip[..., 1] << 8 | strip[..., 2]]
    if (wrong := labels == _FORBIDDEN).any():
        y, x = (int(axis[0]) for axis in np.nonzero(wrong))
        first = tuple(int(level) for level in colors[y, x])
        known = ", ".join(map(str, (*palette, *ignored)))
        raise DataError(
            f"{path}: {_count_pixels(int(wrong.sum()))} whose color is not a class, the first {first} at x {x}, "
            f"y {y}; allowed: {known}; take the label file as published, it may have been resized or saved lossily"
        )
    return labels


@cache
def _make_color_table(palette: tuple[Color, ...], ignored: tuple[Color, ...]) -> NDArray[np.uint8]:
    """(2**24,) uint8: the class of each color; 16 MB, made once."""
    table = np.full(1 << 24, _FORBIDDEN, np.uint8)
    entries = [
        *((color, IGNORE) for color in ignored),
        *((color, index) for index, color in enumerate(palette)),
    ]
    for (red, green, blue), index in entries:
        table[red << 16 | green << 8 | blue] = index
    return table


def _count_pixels(count: int) -> str:
    return f"{count} pixel" if count == 1 else f"{count} pixels"
