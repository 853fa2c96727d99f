"""What a weights or graph file says of itself: the manifest in its header."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

FORMAT = 1
CONVERTER = "1"
"""Version of the way from weights to graph; a cached graph of another version is made again."""
METADATA_KEY = "densevit"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ManifestError(ValueError):
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
    multiple: int = 32  # sides of the network's input are multiples of this
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
        except json.JSONDecodeError as error:
            raise ManifestError(f"{source}: its densevit header is not JSON ({error})") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise ManifestError(f"{source}: its densevit header is not of format {FORMAT}; update densevit")
        return _checked(values, source)


def _checked(values: dict[str, Any], source: str) -> Manifest:
    known = {entry.name: entry for entry in dataclasses.fields(Manifest)}
    if unknown := values.keys() - known.keys():
        raise ManifestError(f"{source}: its densevit header has unknown entries {sorted(unknown)}")
    try:
        manifest = Manifest(**{name: _tuples(value) for name, value in values.items()})
    except TypeError as error:
        raise ManifestError(f"{source}: its densevit header is incomplete ({error})") from error
    for name, entry in known.items():
        default = entry.default if entry.default is not dataclasses.MISSING else ""
        kind = dict if name == "metrics" else type(default)
        if not isinstance(getattr(manifest, name), kind):
            raise ManifestError(f"{source}: {name} in its densevit header must be a {kind.__name__}")
    if manifest.palette and len(manifest.palette) != len(manifest.class_names):
        raise ManifestError(f"{source}: {len(manifest.palette)} colours for {len(manifest.class_names)} classes")
    if unprintable := [name for name in manifest.class_names if not str(name).isprintable()]:
        raise ManifestError(f"{source}: class name {unprintable[0]!r} in its densevit header is not printable")
    if not 1 <= manifest.multiple <= 1024:
        raise ManifestError(f"{source}: multiple must be in 1..1024, got {manifest.multiple}")
    return manifest


def _tuples(value: Any) -> Any:
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value
