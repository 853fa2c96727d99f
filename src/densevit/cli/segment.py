"""`densevit segment`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from densevit import imaging
from densevit.cli.answer_images import MaxPixels, Row, Sources, answer_images
from densevit.cli.options import (
    Device,
    Json,
    ModelChoice,
    Out,
    Precision,
    Runtime,
    Weights,
    WorkingSize,
    load_model,
)
from densevit.core.errors import UsageError
from densevit.imaging import Source
from densevit.tasks.segmentation import FORMATS, Format, SegmentationResult

EXAMPLE = "densevit segment street.jpg --format overlay,labels"


def segment(
    sources: Sources,
    model: ModelChoice = "seg-b0-camvid",
    weights: Weights = None,
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    device: Device = "auto",
    size: WorkingSize = None,
    out: Out = Path("out"),
    formats: Annotated[
        str, typer.Option("--format", "-f", help=f"Files to write, separated by commas: {', '.join(FORMATS)}.")
    ] = "overlay",
    max_pixels: MaxPixels = imaging.DEFAULT_MAX_PIXELS,
    as_json: Json = False,
) -> None:
    """Find the class of every pixel."""
    wanted = _parse_formats(formats)
    load = partial(
        load_model,
        model,
        weights=weights,
        runtime=runtime,
        precision=precision,
        device=device,
        size=size,
        task="segmentation",
    )
    answer_images(
        "segment",
        sources,
        load,
        partial(_finish, out=out, formats=wanted),
        _format_line,
        exclude=out,
        max_pixels=max_pixels,
        as_json=as_json,
    )


def _parse_formats(text: str) -> list[Format]:
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    if not chosen:
        raise UsageError(f"--format is empty; allowed: {', '.join(FORMATS)}")
    if unknown := [part for part in chosen if part not in FORMATS]:
        raise UsageError(f"--format {unknown[0]!r} is unknown; allowed: {', '.join(FORMATS)}")
    return [form for form in FORMATS if form in chosen]


def _finish(source: Source, result: SegmentationResult, *, out: Path, formats: list[Format]) -> Row:
    written = result.save(out / source.stem, formats=formats)
    return {"written": [str(path) for path in written], **result.to_json()}


def _format_line(row: Row) -> str:
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in list(row["fractions"].items())[:4])
    return f"{' '.join(row['written'])}  {shares}"
