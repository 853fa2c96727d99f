"""What a weights or graph file says of itself: the manifest in its header."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, get_type_hints

from densevit.core.errors import InputError

FORMAT = 1
CONVERTER = "3"
"""Version of the way from weights to graph; a cached graph of another version is made again."""
METADATA_KEY = "densevit"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ManifestError(InputError):
    """The header is missing, or does not say what it must."""


@dataclass(frozen=True)
class Manifest:
    """Everything that predicting needs beside the tensors."""

    name: str  # of the model, such as "seg-b0-camvid"
    task: Literal["segmentation", "super_resolution", "promptable", "classification"]
    architecture: str  # a key of the variant tables, such as "seg-b0"
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()  # RGB, one per class
    mean: tuple[float, ...] = IMAGENET_MEAN  # of the channels in 0..1
    std: tuple[float, ...] = IMAGENET_STD
    size: str = "native"  # the size policy
    published_size: str = "native"  # what "--size published" means
    resize: Literal["cv2_cubic", "pil_bilinear", "pil_bicubic"] = "pil_bilinear"  # to the working size
    crop_ratio: float = 1.0  # share of the resized shorter side that a center crop keeps (classification)
    multiple: int = 32  # sides of the network's input are multiples of this, itself one of 16
    weights_precision: Literal["fp32", "fp16"] = "fp32"  # the precision of the stored weights
    verified_precisions: tuple[str, ...] = ("fp32",)  # that lose at most 0.1 points on the validation set
    weights_sha256: str = ""  # of the tensors, see weights.hash_tensors
    converter: str = ""  # version that made the graph; "" for weights
    licence: str = "unknown"
    metrics: dict[str, float] = field(default_factory=dict)  # measured by us, e.g. {"camvid/val/miou": 70.0}

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, sort_keys=True)

    @staticmethod
    def from_json(text: str, *, source: str) -> Manifest:
        """Reads and checks what `to_json` wrote.

        Raises:
            ManifestError: not a manifest, or one of a later format.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{source}: its densevit header is not JSON ({type(error).__name__})") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise ManifestError(f"{source}: its densevit header is not of format {FORMAT}; update densevit")
        return _checked(values, source)


def match_manifest(own: Manifest, asked: Manifest) -> Manifest | None:
    """What a file that describes itself is, where a model was asked for by name; None if it is another model.

    The same architecture with the same classes will do, and the file's header tells the rest. A classifier's
    name says its resolution too, so that one takes the sizes of the name asked for.
    """
    if (own.architecture, own.class_names) != (asked.architecture, asked.class_names):
        return None
    if own.name == asked.name or asked.task != "classification":
        return own
    return replace(own, name=asked.name, size=asked.size, published_size=asked.published_size)


def describe_mismatch(source: object, own: Manifest, asked: Manifest) -> str:
    """An error for a file that describes itself as something else."""

    def said(manifest: Manifest) -> str:
        return f"{manifest.architecture} with {len(manifest.class_names)} classes ({manifest.name})"

    return (
        f"{source}: holds {said(own)}, {said(asked)} was asked for; to use it as what it is, give it as the model"
    )


def super_resolution_manifest(name: str, architecture: str, licence: str = "Apache-2.0") -> Manifest:
    """What all super-resolution models have in common: images at their own size, in 0..1 as they are."""
    return Manifest(
        name=name,
        task="super_resolution",
        architecture=architecture,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        multiple=16,
        licence=licence,
    )


_TASKS = get_args(get_type_hints(Manifest)["task"])
_RESIZES = get_args(get_type_hints(Manifest)["resize"])
_WEIGHTS_PRECISIONS = get_args(get_type_hints(Manifest)["weights_precision"])
_MAX_CLASSES = 65_536

# What each entry of a header must be: the header comes from a file, and the file from anywhere.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: _is_text(value),
    "task": lambda value: value in _TASKS,
    "architecture": lambda value: _is_text(value),
    "class_names": lambda value: _is_list(value, _is_text) and len(value) <= _MAX_CLASSES,
    "palette": lambda value: _is_list(value, _is_color),
    "mean": lambda value: _is_list(value, _is_number) and 1 <= len(value) <= 1024,
    "std": lambda value: _is_list(value, _is_number) and all(entry > 0 for entry in value),
    "size": lambda value: _is_text(value),
    "published_size": lambda value: _is_text(value),
    "resize": lambda value: value in _RESIZES,
    "crop_ratio": lambda value: _is_number(value) and 0 < value <= 1,
    "multiple": lambda value: type(value) is int and 16 <= value <= 1024 and value % 16 == 0,
    "weights_precision": lambda value: value in _WEIGHTS_PRECISIONS,
    "verified_precisions": lambda value: _is_list(value, _is_text),
    "weights_sha256": lambda value: (isinstance(value, str) and value.isalnum()) or value == "",
    "converter": lambda value: value == "" or _is_text(value),
    "licence": lambda value: _is_text(value),
    "metrics": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1000 and value.isprintable()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_list(value: Any, check: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(check, value))


def _is_color(value: Any) -> bool:
    return _is_list(value, lambda level: type(level) is int and 0 <= level <= 255) and len(value) == 3


def _checked(values: dict[str, Any], source: str) -> Manifest:
    if unknown := sorted(values.keys() - _CHECKS.keys()):
        raise ManifestError(f"{source}: its densevit header has an unknown entry {unknown[0]!r}; update densevit")
    for name, value in values.items():
        if not _CHECKS[name](value):
            raise ManifestError(f"{source}: {name} in its densevit header is not allowed: {repr(value)[:60]}")
    try:
        manifest = Manifest(**{name: _tuples(value) for name, value in values.items()})
    except TypeError as error:
        raise ManifestError(f"{source}: its densevit header is incomplete ({error})") from error
    if manifest.palette and len(manifest.palette) != len(manifest.class_names):
        raise ManifestError(f"{source}: {len(manifest.palette)} colors for {len(manifest.class_names)} classes")
    if len(manifest.mean) != len(manifest.std):
        raise ManifestError(f"{source}: {len(manifest.mean)} means for {len(manifest.std)} deviations")
    return manifest


def _tuples(value: Any) -> Any:
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value
