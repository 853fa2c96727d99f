"""Names and colors of the classes of the published data sets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import UsageError

_TABLES = Path(__file__).parents[1] / "assets" / "classes.json"
_IMAGENET = Path(__file__).parents[1] / "assets" / "imagenet.json"


@dataclass(frozen=True)
class ClassTable:
    """One name per class in the order of the network's outputs, and one RGB color each if classes are drawn."""

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(classes, 3) uint8 RGB."""
        return np.array(self.colors, np.uint8)


@cache
def read_class_table(data_set: str) -> ClassTable:
    """The classes of "camvid", "cityscapes", "ade20k", "loveda", "potsdam", "vaihingen" or "imagenet".

    ImageNet's classes have no colors.

    Raises:
        UsageError: another data set.
    """
    if data_set == "imagenet":
        return ClassTable(tuple(_read_imagenet()["names"]), ())
    tables = json.loads(_TABLES.read_text(encoding="utf-8"))
    if data_set not in tables:
        raise UsageError(f"no classes known for {data_set!r}; known: {', '.join(sorted([*tables, 'imagenet']))}")
    table = tables[data_set]
    return ClassTable(tuple(table["names"]), tuple((r, g, b) for r, g, b in table["palette"]))


def read_imagenet_wnids() -> tuple[str, ...]:
    """WordNet identifiers of ImageNet's 1000 classes, in the order of `read_class_table("imagenet")`."""
    return tuple(_read_imagenet()["wnids"])


@cache
def _read_imagenet() -> dict[str, list[str]]:
    table: dict[str, list[str]] = json.loads(_IMAGENET.read_text(encoding="utf-8"))
    return table
