"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from densevit.predict import Model, load

Weights = Annotated[
    Path | None, typer.Option("--weights", help="Weights file for the named model: official, or own.")
]
Runtime = Annotated[str, typer.Option("--runtime", help="auto, openvino or eager.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
WorkingSize = Annotated[
    str | None,
    typer.Option("--size", help="native, short:S, long:S, exact:HxW, or published; default: the model's own."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


VERBS = {"segmentation": "segment", "classification": "classify"}
"""Task -> the verb that answers it for pictures."""


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
    """`densevit.load` with the options as they came; unknown values are refused there.

    Args:
        model: name or file.
        weights: as `densevit.load`.
        runtime: as `densevit.load`.
        precision: as `densevit.load`.
        device: as `densevit.load`.
        size: as `densevit.load`.
        task: the only one that will do, None for any.

    Raises:
        ValueError: as `densevit.load`, or a model of another task; the message says which verb serves it.
    """
    loaded = load(
        model,
        weights=weights,
        runtime=runtime,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        device=device,
        size=size,
    )
    found = loaded.manifest.task
    if task not in (None, found):
        remedy = f"use densevit {VERBS[found]}" if found in VERBS else "there is no verb for it yet"
        raise ValueError(f"{loaded.manifest.name}: its task is {found}, this verb needs {task}; {remedy}")
    return loaded
