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


def load_model(
    model: str, *, weights: Path | None, runtime: str, precision: str, device: str, size: str | None
) -> Model[Any]:
    """`densevit.load` with the options as they came; unknown values are refused there."""
    return load(
        model,
        weights=weights,
        runtime=runtime,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        device=device,
        size=size,
    )
