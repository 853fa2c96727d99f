"""`densevit classify`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from densevit import imaging
from densevit.cli.answer_images import MaxPixels, Row, Sources, answer_images
from densevit.cli.options import Device, Json, ModelChoice, Precision, Runtime, Weights, WorkingSize, load_model
from densevit.imaging import Source
from densevit.tasks.classification import ClassificationResult

EXAMPLE = "densevit classify cat.jpg --top 3"


def classify(
    sources: Sources,
    model: ModelChoice = "cls-b1-r224",
    weights: Weights = None,
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    device: Device = "auto",
    size: WorkingSize = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of classes to name.")] = 5,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for one JSON file per image. Default: write no files."),
    ] = None,
    max_pixels: MaxPixels = imaging.DEFAULT_MAX_PIXELS,
    as_json: Json = False,
) -> None:
    """Name the most probable classes of every image."""
    load = partial(
        load_model,
        model,
        weights=weights,
        runtime=runtime,
        precision=precision,
        device=device,
        size=size,
        task="classification",
    )
    answer_images(
        "classify",
        sources,
        load,
        partial(_finish, out=out, top=top),
        _format_line,
        exclude=out,
        max_pixels=max_pixels,
        as_json=as_json,
    )


def _finish(source: Source, result: ClassificationResult, *, out: Path | None, top: int) -> Row:
    written = {} if out is None else {"written": [str(path) for path in result.save(out / source.stem, count=top)]}
    return written | result.to_json(count=top)


def _format_line(row: Row) -> str:
    guesses = ", ".join(f"{guess['name']} {100 * guess['probability']:.1f} %" for guess in row["top"])
    return f"{row['source']}  {guesses}"
