"""Untrusted JSON annotations: the file's size is limited and each field is checked."""

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
"""Far above any coordinate or area, far below the largest fp32 number."""


def read_json(path: Path, *, max_bytes: int) -> Any:
    """Reads a JSON file.

    Raises:
        DataError: the file is missing, too large, or not JSON.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if (length := path.stat().st_size) > max_bytes:
        raise DataError(
            f"{path}: has {length:,} bytes, more than the limit of {max_bytes:,}; check that it is the right file"
        )
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({first_line(error)}); download it again") from error


class Fields:
    """An object in a JSON file; each method checks a field and returns it.

    Args:
        value: the object.
        where: file and position, for messages.

    Raises:
        DataError: `value` is not an object; each method raises it for a missing or invalid field.
    """

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: must be an object, got {reprlib.repr(value)}")
        self.value = value
        self.where = where

    def make_error(self, name: str, allowed: str) -> DataError:
        """Makes the error that says what a field must be, and what it is."""
        got = reprlib.repr(self.value[name]) if name in self.value else "nothing"
        return DataError(f"{self.where}: {name!r} must be {allowed}, got {got}")

    def get(self, name: str) -> Any:
        """Returns a field without a check, None if it is missing."""
        return self.value.get(name)

    def inner(self, name: str) -> Fields:
        """An object."""
        if not isinstance(self.get(name), Mapping):
            raise self.make_error(name, "an object")
        return Fields(self.get(name), f"{self.where}.{name}")

    def objects(self, name: str) -> list[Fields]:
        """A list of objects."""
        if not isinstance(self.get(name), list):
            raise self.make_error(name, "a list")
        return [Fields(value, f"{self.where}: {name}[{index}]") for index, value in enumerate(self.value[name])]

    def whole(self, name: str, *, least: int = 0, most: int = _LARGEST_ID) -> int:
        """A whole number."""
        value = self.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self.make_error(name, f"a whole number in {least}..{most}")
        return value

    def number(self, name: str, *, least: float = -math.inf) -> float:
        """A finite number."""
        value = self.get(name)
        if not is_number(value) or value < least:
            raise self.make_error(name, "a number" + (f" of at least {least}" if least > -math.inf else ""))
        return float(value)

    def text(self, name: str) -> str:
        """Non-empty text."""
        value = self.get(name)
        if not isinstance(value, str) or not value:
            raise self.make_error(name, "text")
        return value

    def box(self, name: str) -> tuple[float, float, float, float]:
        """[x, y, width, height] -> (x0, y0, x1, y1)."""
        value = self.get(name)
        if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)) or min(value[2:]) < 0:
            raise self.make_error(name, "[x, y, width, height], four numbers, the last two not negative")
        x, y, width, height = map(float, value)
        return x, y, x + width, y + height


def is_number(value: Any) -> bool:
    """Whether a value is a number that can be a coordinate, an area or a score."""
    return type(value) in (int, float) and -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER
