"""`densevit segment`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from densevit import imaging
from densevit.cli.options import Device, Json, Precision, Runtime, Weights, WorkingSize, load_model
from densevit.cli.progress import progress_bar
from densevit.imaging import PictureError, Source
from densevit.messages import one_line
from densevit.tasks.segmentation import FORMATS, Format, SegmentationResult


def segment(
    sources: Annotated[list[str], typer.Argument(help="Pictures, folders, or patterns such as 'in/**/*.jpg'.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, or a graph or weights file.")] = (
        "seg-b0-camvid"
    ),
    weights: Weights = None,
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    device: Device = "auto",
    size: WorkingSize = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out"),
    formats: Annotated[
        str, typer.Option("--format", "-f", help=f"What to write, with commas: {', '.join(FORMATS)}.")
    ] = "overlay",
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, help="Refuse larger pictures before decoding them.")
    ] = imaging.DEFAULT_MAX_PIXELS,
    as_json: Json = False,
) -> None:
    """A class for every pixel of every picture."""
    wanted = _formats(formats)
    found, errors = imaging.find(sources, exclude=out)
    for error in errors:
        _complain(error)
    if not found:
        raise typer.Exit(1)
    start = time.perf_counter()
    segmenter = load_model(model, weights=weights, runtime=runtime, precision=precision, device=device, size=size)
    rows = []
    with progress_bar("segment", len(found)) as advance:
        results = segmenter.stream((source.path for source in found), max_pixels=max_pixels)
        for source, result in zip(found, results, strict=True):
            row = _finish(source, result, out, wanted)
            rows.append(row)
            if "error" in row:
                _complain(row["error"])
            elif not as_json:
                typer.echo(_line(row))
            advance()
    failed = len(errors) + sum("error" in row for row in rows)
    if as_json:
        report = {
            "model": segmenter.manifest.name,
            "runtime": segmenter.runtime.name,
            "precision": segmenter.runtime.precision,
            "device": segmenter.runtime.device,
            "pictures": rows,
            "failed": failed,
            "seconds": round(time.perf_counter() - start, 3),
        }
        typer.echo(json.dumps(report, indent=1))
    if failed:
        raise typer.Exit(1)


def _formats(text: str) -> list[Format]:
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    if not chosen:
        raise ValueError(f"--format names nothing; allowed: {', '.join(FORMATS)}")
    if unknown := [part for part in chosen if part not in FORMATS]:
        raise ValueError(f"--format {unknown[0]!r} is unknown; allowed: {', '.join(FORMATS)}")
    return [form for form in FORMATS if form in chosen]


def _finish(
    source: Source, result: SegmentationResult | PictureError, out: Path, formats: list[Format]
) -> dict[str, Any]:
    """Writes one result; what went wrong with this picture is no reason to drop the next."""
    row: dict[str, Any] = {"source": str(source.path)}
    if isinstance(result, PictureError):
        return row | {"error": str(result)}
    try:
        written = result.save(out / source.stem, formats=formats)
    except (OSError, ValueError, MemoryError) as error:
        return row | {"error": f"{source.path}: its result cannot be written ({one_line(error)})"}
    return row | {"written": [str(path) for path in written], **result.to_json()}


def _line(row: dict[str, Any]) -> str:
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in list(row["fractions"].items())[:4])
    return f"{' '.join(row['written'])}  {shares}"


def _complain(error: object) -> None:
    typer.echo(f"error: {one_line(error)}", err=True)
