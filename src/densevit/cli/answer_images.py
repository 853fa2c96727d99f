"""What all verbs on images share: find the images, run the model on each, report, go on after errors."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from densevit import imaging
from densevit.cli.options import check_max_pixels
from densevit.cli.progress import progress_bar
from densevit.core.errors import InputError, UnavailableError
from densevit.core.messages import one_line
from densevit.imaging import Source

Row = dict[str, Any]
"""The report on one image: "source", and either "error" or the result."""


def answer_images(
    title: str,
    sources: list[str],
    load: Callable[[], Any],
    finish: Callable[[Any, Source, Any], Row],
    format_line: Callable[[Row], str],
    *,
    exclude: Path | None,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Runs a verb on all images; an image that fails does not stop the others.

    Args:
        title: of the progress bar.
        sources: files, folders, patterns.
        load: returns the model; called once, after at least one image was found.
        finish: (model, image, result) writes one result and returns its part of the report.
        format_line: the line to print for a finished image without `as_json`.
        exclude: the folder for the results, in which no images are looked for.
        max_pixels: larger images are refused.
        as_json: print one JSON object on stdout instead of a line per image.

    Raises:
        SystemExit: with code 1 if an image failed or none was found.
    """
    check_max_pixels(max_pixels)
    found, errors = imaging.find_images(sources, exclude=exclude)
    for error in errors:
        _complain(error)
    if not found:
        sys.exit(1)
    start = time.perf_counter()
    model = load()
    rows = []
    with progress_bar(title, len(found)) as advance:
        results = model.stream((source.path for source in found), max_pixels=max_pixels)
        for source, result in zip(found, results, strict=True):
            row = _make_row(model, source, result, finish)
            rows.append(row)
            if "error" in row:
                _complain(row["error"])
            elif not as_json:
                print(format_line(row))
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
        print(json.dumps(report, indent=1))
    if failed:
        sys.exit(1)


def _make_row(model: Any, source: Source, result: Any, finish: Callable[[Any, Source, Any], Row]) -> Row:
    row: Row = {"source": str(source.path)}
    if isinstance(result, InputError):
        return row | {"error": str(result)}
    try:
        return row | finish(model, source, result)
    except (InputError, UnavailableError) as error:
        # the prompt or the format does not fit this image, or the file cannot be written
        message = one_line(error)
        named = message.startswith(f"{source.path}: ")
        return row | {"error": message if named else f"{source.path}: {message}"}
    except (OSError, MemoryError) as error:
        return row | {"error": f"{source.path}: its result cannot be written ({one_line(error)})"}


def _complain(error: object) -> None:
    print(f"error: {one_line(error)}", file=sys.stderr)
