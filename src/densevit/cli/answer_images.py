"""What every verb does that answers for images: find them, stream them through a model, report, go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from densevit import imaging
from densevit.cli.progress import progress_bar
from densevit.core.messages import one_line
from densevit.imaging import ImageError, Source
from densevit.predict.model import Model

Sources = Annotated[list[str], typer.Argument(help="Images, folders, or patterns such as 'in/**/*.jpg'.")]
MaxPixels = Annotated[int, typer.Option("--max-pixels", min=1, help="Refuse larger images before decoding them.")]
Row = dict[str, Any]
"""What is reported of one image: "source", and "error" or the answer."""


def answer_images(
    title: str,
    sources: list[str],
    load: Callable[[], Model[Any]],
    finish: Callable[[Source, Any], Row],
    line: Callable[[Row], str],
    *,
    exclude: Path | None,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Runs a verb over all images; what goes wrong with one is no reason to drop the next.

    Args:
        title: of the progress bar.
        sources: files, folders, patterns.
        load: gives the model; called once there is an image.
        finish: writes one result and says what to report of it.
        line: what is said of a finished image without `as_json`.
        exclude: folder in which no image is looked for, the one that results go to.
        max_pixels: larger images are refused.
        as_json: one JSON object on stdout instead of a line per image.

    Raises:
        typer.Exit: with code 1 where an image failed, or there was none.
    """
    found, errors = imaging.find_images(sources, exclude=exclude)
    for error in errors:
        _complain(error)
    if not found:
        raise typer.Exit(1)
    start = time.perf_counter()
    model = load()
    rows = []
    with progress_bar(title, len(found)) as advance:
        results = model.stream((source.path for source in found), max_pixels=max_pixels)
        for source, result in zip(found, results, strict=True):
            row = _row(source, result, finish)
            rows.append(row)
            if "error" in row:
                _complain(row["error"])
            elif not as_json:
                typer.echo(line(row))
            advance()
    failed = len(errors) + sum("error" in row for row in rows)
    if as_json:
        report = {
            "model": model.manifest.name,
            "runtime": model.runtime.name,
            "precision": model.runtime.precision,
            "device": model.runtime.device,
            "images": rows,
            "failed": failed,
            "seconds": round(time.perf_counter() - start, 3),
        }
        typer.echo(json.dumps(report, indent=1))
    if failed:
        raise typer.Exit(1)


def _row(source: Source, result: Any, finish: Callable[[Source, Any], Row]) -> Row:
    row: Row = {"source": str(source.path)}
    if isinstance(result, ImageError):
        return row | {"error": str(result)}
    try:
        return row | finish(source, result)
    except ImageError as error:
        # what was asked does not fit this image
        return row | {"error": str(error)}
    except (OSError, ValueError, MemoryError) as error:
        return row | {"error": f"{source.path}: its result cannot be written ({one_line(error)})"}


def _complain(error: object) -> None:
    typer.echo(f"error: {one_line(error)}", err=True)
