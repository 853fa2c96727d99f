"""Names and colours of the classes of the published data sets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TABLES = Path(__file__).parent / "assets" / "classes.json"


@dataclass(frozen=True)
class ClassTable:
    """One name and one RGB colour per class, in the order of the network's outputs."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(classes, 3) uint8 RGB."""
        return np.array(self.colours, np.uint8)


@cache
def class_table(data_set: str) -> ClassTable:
    """The classes of "camvid", "cityscapes", "ade20k", "loveda", "potsdam" or "vaihingen".

    Raises:
        ValueError: another data set.
    """
    tables = json.loads(_TABLES.read_text(encoding="utf-8"))
    if data_set not in tables:
        raise ValueError(f"no classes known for {data_set!r}; known: {', '.join(sorted(tables))}")
    table = tables[data_set]
    return ClassTable(tuple(table["names"]), tuple((r, g, b) for r, g, b in table["palette"]))
