"""What each entry of a manifest must be: the header comes from a file, and the file from anywhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]

MAX_CLASSES = 65_536
MAX_METRICS = 1000
MAX_GOLDEN_VALUES = 64
MAX_GOLDEN_ELEMENTS = 2**24
"""Of one input of a golden pair: whoever checks a file makes an array of this size."""


def is_text(value: Any) -> bool:
    """One printable line."""
    return isinstance(value, str) and 0 < len(value) <= 1000 and value.isprintable()


def is_number(value: Any) -> bool:
    """Finite as a float; NaN and whole numbers of any length fail the comparison."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_whole(value: Any, least: int, most: int) -> bool:
    """A whole number in least..most, no bool."""
    return type(value) is int and least <= value <= most


def is_list(value: Any, check: Check, most: int) -> bool:
    """A list of at most so many entries that pass a check."""
    return isinstance(value, list) and len(value) <= most and all(map(check, value))


def is_table(value: Any, check: Check, most: int) -> bool:
    """Texts with values that pass a check."""
    return (
        isinstance(value, dict)
        and len(value) <= most
        and all(map(is_text, value))
        and all(map(check, value.values()))
    )


def is_color(value: Any) -> bool:
    """[red, green, blue] in 0..255."""
    return is_list(value, lambda level: is_whole(level, 0, 255), 3) and len(value) == 3


def is_metrics(value: Any) -> bool:
    """Numbers by name."""
    return is_table(value, is_number, MAX_METRICS)


def is_shape(value: Any) -> bool:
    """Positive sides of an array that fits into memory."""
    return is_list(value, lambda side: is_whole(side, 1, MAX_GOLDEN_ELEMENTS), 8) and (
        math.prod(value) <= MAX_GOLDEN_ELEMENTS
    )


def _is_golden_output(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"shape", "values"}
        and is_shape(value["shape"])
        and is_list(value["values"], is_number, MAX_GOLDEN_VALUES)
        and len(value["values"]) == min(MAX_GOLDEN_VALUES, math.prod(value["shape"]))
    )


def is_golden(value: Any) -> bool:
    """A golden pair, or None."""
    return value is None or (
        isinstance(value, dict)
        and value.keys() == {"function", "seed", "shapes", "outputs", "tolerance"}
        and is_text(value["function"])
        and is_whole(value["seed"], 0, 2**32 - 1)
        and is_list(value["shapes"], is_shape, 8)
        and is_table(value["outputs"], _is_golden_output, 8)
        and len(value["outputs"]) > 0
        and is_number(value["tolerance"])
        and value["tolerance"] > 0
    )


def _one_of(*allowed: str) -> Check:
    return lambda value: isinstance(value, str) and value in allowed


CHECKS: Mapping[str, Check] = {
    "name": is_text,
    "task": is_text,
    "architecture": is_text,
    "multi_scale": lambda value: isinstance(value, bool),
    "global_attention": lambda value: isinstance(value, bool),
    "class_names": lambda value: is_list(value, is_text, MAX_CLASSES),
    "palette": lambda value: is_list(value, is_color, MAX_CLASSES),
    "mean": lambda value: is_list(value, is_number, 1024) and len(value) > 0,
    "std": lambda value: is_list(value, is_number, 1024) and all(entry > 0 for entry in value),
    "size": is_text,
    "published_size": is_text,
    "resize": _one_of("cv2_cubic", "pil_bilinear", "pil_bicubic"),
    "crop_ratio": lambda value: is_number(value) and 0 < value <= 1,
    "multiple": lambda value: is_whole(value, 16, 1024) and value % 16 == 0,
    "padding": _one_of("edge", "zero"),
    "input_range": _one_of("0..255", "0..1", "normalized"),
    "layout": _one_of("NHWC", "NCHW"),
    "weights_precision": _one_of("fp32", "fp16"),
    "precision": _one_of("fp32", "fp16", "bf16"),
    "verified_precisions": lambda value: is_table(value, is_metrics, 16),
    "weights_sha256": lambda value: value == "" or (is_text(value) and value.isalnum()),
    "converter": lambda value: value == "" or is_text(value),
    "code_licence": is_text,
    "licence": is_text,
    "data_licence": is_text,
    "metrics": is_metrics,
    "golden": is_golden,
}
"""Every entry of format 2, without the format number itself."""

_ARCHITECTURE_KEYS = {"multi_scale", "global_attention"}
_INPUT_KEYS = {"padding", "input_range", "layout", "precision"}
FORMAT_1_KEYS = CHECKS.keys() - _ARCHITECTURE_KEYS - _INPUT_KEYS - {"code_licence", "data_licence", "golden"}
"""The entries of format 1."""
