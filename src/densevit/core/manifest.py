"""What a weights or graph file says about itself: the manifest in its header."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from densevit.core.errors import InputError
from densevit.core.manifest_checks import CHECKS, FORMAT_1_KEYS

FORMAT = 2
CONVERTER = "3"
"""Version of the way from weights to graph; a cached graph of another version is made again."""
METADATA_KEY = "densevit"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Padding = Literal["edge", "zero"]
InputRange = Literal["0..255", "0..1", "normalized"]
Layout = Literal["NHWC", "NCHW"]


class ManifestError(InputError):
    """The header is missing or wrong."""


@dataclass(frozen=True)
class InputContract:
    """How an image must be prepared for a graph, whoever runs it.

    Attributes:
        padding: what fills the image up to the needed multiple: its edge pixels, or zeros after normalization.
        input_range: uint8 in 0..255, float32 in 0..1, or float32 normalized by `mean` and `std`.
        layout: the order of the axes.
    """

    padding: Padding
    input_range: InputRange
    layout: Layout


USUAL_INPUT = InputContract("edge", "0..255", "NHWC")
"""What the graphs of most tasks take."""
INPUT_CONTRACTS: Mapping[str, InputContract] = {
    "super_resolution": InputContract("edge", "0..1", "NCHW"),
    "promptable": InputContract("zero", "normalized", "NCHW"),
}
"""What the graphs of other tasks take; a manifest that says anything else is of a later version."""


@dataclass(frozen=True)
class GoldenOutput:
    """One output of a golden pair.

    Attributes:
        shape: of the whole output.
        values: some of its values, evenly spaced in C order.
    """

    shape: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class GoldenPair:
    """Inputs and what a graph must answer in fp32, to check it on a device without the model.

    Attributes:
        function: of the task's signatures.
        seed: of `tasks.examples.make_example`, which makes the inputs.
        shapes: of the inputs, in the order of the signature.
        outputs: by name.
        tolerance: largest difference of a value.
    """

    function: str
    seed: int
    shapes: tuple[tuple[int, ...], ...]
    outputs: Mapping[str, GoldenOutput]
    tolerance: float


@dataclass(frozen=True)
class Manifest:
    """Everything that predicting needs beside the tensors.

    `padding`, `input_range` and `layout` follow from the task, see `INPUT_CONTRACTS`.
    """

    name: str  # of the model, such as "seg-b0-camvid"
    task: str  # a key of tasks.table.TASKS
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
    multi_scale: bool = True  # False: the architecture without the aggregated branches of its attention
    global_attention: bool = True  # False: the architecture without the mixing of tokens
    weights_precision: Literal["fp32", "fp16"] = "fp32"  # the precision of the stored weights
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"  # the precision of a graph's constants and arithmetic
    # precisions that lose at most 0.1 points or 0.02 dB, each with what was measured in it
    verified_precisions: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: {"fp32": {}})
    weights_sha256: str = ""  # of the tensors, see weights.hash_tensors
    converter: str = ""  # version that made the graph; "" for weights
    code_licence: str = "Apache-2.0"
    licence: str = "unknown"  # of the weights
    data_licence: str = "unknown"  # of what the weights were trained on
    metrics: Mapping[str, float] = field(default_factory=dict)  # measured by us, e.g. {"camvid/val/miou": 70.0}
    golden: GoldenPair | None = None

    @property
    def _input(self) -> InputContract:
        return INPUT_CONTRACTS.get(self.task, USUAL_INPUT)

    @property
    def padding(self) -> Padding:
        """See `InputContract`."""
        return self._input.padding

    @property
    def input_range(self) -> InputRange:
        """See `InputContract`."""
        return self._input.input_range

    @property
    def layout(self) -> Layout:
        """See `InputContract`."""
        return self._input.layout

    def to_json(self) -> str:
        """One line of JSON, the same for equal manifests."""
        contract = dataclasses.asdict(self._input)
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self), **contract}, sort_keys=True)

    @staticmethod
    def from_json(text: str, *, source: str) -> Manifest:
        """Reads and checks what `to_json` of this version or of an earlier one wrote.

        Args:
            text: the header; it may come from anywhere.
            source: names the file in errors.

        Raises:
            ManifestError: not a manifest, or one of a later format.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{source}: its densevit header is not JSON ({type(error).__name__})") from error
        version = values.pop("format", None) if isinstance(values, dict) else None
        if type(version) is not int or version < 1:
            raise ManifestError(f"{source}: its densevit header has no valid format number; export it again")
        if version > FORMAT:
            raise ManifestError(
                f"{source}: its densevit header is of format {version}, newer than {FORMAT}; update densevit"
            )
        known = FORMAT_1_KEYS if version == 1 else CHECKS.keys()
        if unknown := sorted(values.keys() - known):
            raise ManifestError(
                f"{source}: its densevit header has an unknown entry {repr(unknown[0])[:60]}; update densevit"
            )
        if version == 1 and isinstance(listed := values.get("verified_precisions"), list):
            # format 1 lists names alone; what is no name stays, for the checks to refuse
            values["verified_precisions"] = {name if isinstance(name, str) else "": {} for name in listed}
        return _build(values, source)


def match_manifest(own: Manifest, asked: Manifest) -> Manifest | None:
    """The manifest to use for a file that describes itself, where a model was asked for by name.

    The same architecture with the same classes will do, and the file's header tells the rest. A classifier's
    name says its resolution too, so it takes the sizes of the name asked for.

    Returns:
        None if the file holds another model.
    """
    if _identify(own) != _identify(asked):
        return None
    if own.name == asked.name or asked.task != "classification":
        return own
    return replace(own, name=asked.name, size=asked.size, published_size=asked.published_size)


def describe_mismatch(source: object, own: Manifest, asked: Manifest) -> str:
    """The error for a file that describes itself as something else."""
    return (
        f"{source}: holds {_describe(own)}, but {_describe(asked)} was asked for; to use the file anyway, give it "
        "as the model"
    )


def super_resolution_manifest(name: str, architecture: str, licence: str = "Apache-2.0") -> Manifest:
    """What all super-resolution models share: images at their own size, in 0..1 as they are."""
    return Manifest(
        name=name,
        task="super_resolution",
        architecture=architecture,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        multiple=16,
        licence=licence,
    )


def _identify(manifest: Manifest) -> tuple[object, ...]:
    return manifest.architecture, manifest.multi_scale, manifest.global_attention, manifest.class_names


def _describe(manifest: Manifest) -> str:
    switches = {"multi_scale": manifest.multi_scale, "global_attention": manifest.global_attention}
    without = "".join(f" without {name}" for name, on in switches.items() if not on)
    return f"{manifest.architecture}{without} with {len(manifest.class_names)} classes ({manifest.name})"


def _build(values: dict[str, Any], source: str) -> Manifest:
    for name, value in values.items():
        if not CHECKS[name](value):
            raise ManifestError(f"{source}: {name} in its densevit header is not allowed: {repr(value)[:60]}")
    stated = {name: values.pop(name) for name in ("padding", "input_range", "layout") if name in values}
    try:
        manifest = Manifest(**{name: _freeze(value) for name, value in values.items() if name != "golden"})
    except TypeError as error:
        raise ManifestError(f"{source}: its densevit header is incomplete ({error})") from error
    for name, value in stated.items():
        if value != getattr(manifest, name):
            raise ManifestError(
                f"{source}: {name} {value!r} is not known for a {manifest.task} model; update densevit"
            )
    if manifest.palette and len(manifest.palette) != len(manifest.class_names):
        raise ManifestError(f"{source}: {len(manifest.palette)} colors for {len(manifest.class_names)} classes")
    if len(manifest.mean) != len(manifest.std):
        raise ManifestError(f"{source}: {len(manifest.mean)} means for {len(manifest.std)} deviations")
    golden = values.get("golden")
    return manifest if golden is None else replace(manifest, golden=_build_golden(golden))


def _build_golden(values: dict[str, Any]) -> GoldenPair:
    outputs = {
        name: GoldenOutput(**{key: _freeze(entry) for key, entry in output.items()})
        for name, output in values["outputs"].items()
    }
    shapes = _freeze(values["shapes"])
    return GoldenPair(values["function"], values["seed"], shapes, outputs, values["tolerance"])


def _freeze(value: Any) -> Any:
    return tuple(map(_freeze, value)) if isinstance(value, list) else value
