"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from densevit.core.errors import UsageError
from densevit.predict.loading import GRAPH_SUFFIX, RuntimeName, load
from densevit.predict.model import Model
from densevit.runtimes.base import Precision as RuntimePrecision
from densevit.weights import WEIGHTS_SUFFIXES
from densevit.zoo import find_model

ModelChoice = Annotated[str, typer.Option("--model", "-m", help="A model's name, or an ONNX or weights file.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", help="Weights file for the named model: official, timm's, or densevit's."),
]
Runtime = Annotated[str, typer.Option("--runtime", help="auto, openvino (CPU) or eager (PyTorch).")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
WorkingSize = Annotated[
    str | None,
    typer.Option(
        "--size",
        help="Working size: native, short:S, long:S (or :S/M), exact:HxW, published. Default: the model's own.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


VERBS = {
    "segmentation": "segment",
    "classification": "classify",
    "super_resolution": "upscale",
    "promptable": "masks",
}
"""Task -> the verb that runs it on images."""


def load_model(
    model: str,
    *,
    weights: Path | None,
    runtime: str,
    precision: str,
    device: str,
    size: str | None,
    task: str | None = None,
) -> Model[Any]:
    """`densevit.load` with the options as the user gave them; it checks their values.

    Args:
        model: name or file.
        weights: as `densevit.load`.
        runtime: as `densevit.load`.
        precision: as `densevit.load`.
        device: as `densevit.load`.
        size: as `densevit.load`.
        task: the task that the verb needs, None for any.

    Raises:
        UsageError: the model has another task; the message names the right verb.
        DensevitError: as `densevit.load`.
    """
    if not is_file_name(model):
        # before anything is downloaded
        _require_task(find_model(model).name, find_model(model).task, task)
    loaded: Model[Any] = load(
        model,
        weights=weights,
        runtime=cast("RuntimeName", runtime),
        precision=cast("RuntimePrecision", precision),
        device=device,
        size=size,
    )
    _require_task(loaded.manifest.name, loaded.manifest.task, task)
    return loaded


def is_file_name(model: str) -> bool:
    """Whether a model is given as a file, and not by its name."""
    return Path(model).suffix.lower() in (GRAPH_SUFFIX, *WEIGHTS_SUFFIXES)


def _require_task(name: str, found: str, wanted: str | None) -> None:
    if wanted not in (None, found):
        remedy = f"use densevit {VERBS[found]}" if found in VERBS else "no verb runs this task yet"
        raise UsageError(f"{name}: its task is {found}, this verb needs {wanted}; {remedy}")
