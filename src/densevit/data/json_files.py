"""JSON of annotations, which need not be trusted: read with a limit, its fields checked one by one."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densevit.core.messages import first_line
from densevit.data.base import DataError

_LARGEST_ID = 2**63 - 1
_LARGEST_NUMBER = 1e12
"""Far beyond any coordinate or area, far from where single precision ends."""


def read_json(path: Path, *, max_bytes: int) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: no such file, a larger one, or not JSON.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if (length := path.stat().st_size) > max_bytes:
        raise DataError(f"{path}: has {length:,} bytes, allowed are {max_bytes:,}; is it the right file?")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({first_line(error)}); fetch it again") from error


class Fields:
    """An object in a JSON file, whose fields are asked for by type.

    Args:
        value: the object.
        where: file and place, for messages.

    Raises:
        DataError: it is no object; and, from each method, a field that is missing or not as it should be.
    """

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: must be an object, got {reprlib.repr(value)}")
        self.value = value
        self.where = where

    def refuse(self, name: str, allowed: str) -> DataError:
        """The error that says what a field must be, and what it is."""
        got = reprlib.repr(self.value[name]) if name in self.value else "nothing"
        return DataError(f"{self.where}: {name!r} must be {allowed}, got {got}")

    def get(self, name: str) -> Any:
        """Any value."""
        return self.value.get(name)

    def inner(self, name: str) -> Fields:
        """An object."""
        if not isinstance(self.get(name), Mapping):
            raise self.refuse(name, "an object")
        return Fields(self.get(name), f"{self.where}.{name}")

    def objects(self, name: str) -> list[Fields]:
        """A list of objects."""
        if not isinstance(self.get(name), list):
            raise self.refuse(name, "a list")
        return [Fields(value, f"{self.where}: {name}[{index}]") for index, value in enumerate(self.value[name])]

    def whole(self, name: str, *, least: int = 0, most: int = _LARGEST_ID) -> int:
        """A whole number."""
        value = self.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self.refuse(name, f"a whole number in {least}..{most}")
        return value

    def number(self, name: str, *, least: float = -math.inf) -> float:
        """A number, finite."""
        value = self.get(name)
        if not is_number(value) or value < least:
            raise self.refuse(name, "a number" + (f" of at least {least}" if least > -math.inf else ""))
        return float(value)

    def text(self, name: str) -> str:
        """Text, not empty."""
        value = self.get(name)
        if not isinstance(value, str) or not value:
            raise self.refuse(name, "text")
        return value

    def box(self, name: str) -> tuple[float, float, float, float]:
        """[x, y, width, height] -> (x0, y0, x1, y1)."""
        value = self.get(name)
        if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)) or min(value[2:]) < 0:
            raise self.refuse(name, "[x, y, width, height], four numbers, the last two not negative")
        x, y, width, height = map(float, value)
        return x, y, x + width, y + height


def is_number(value: Any) -> bool:
    """Whether a value is a number that may be a coordinate, an area or a score."""
    return type(value) in (int, float) and -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER
