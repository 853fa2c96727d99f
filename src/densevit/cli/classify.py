"""`densevit classify`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from densevit import imaging
from densevit.cli.answer_images import Row, answer_images
from densevit.cli.flags import Flag, make_verb
from densevit.cli.options import Json, MaxPixels, ModelChoice, Sources, load_model
from densevit.core.errors import UsageError
from densevit.imaging import Source
from densevit.runtimes.options import LoadOptions
from densevit.tasks.classification import ClassificationResult


@make_verb
def classify(
    sources: Sources,
    *,
    model: ModelChoice = "cls-b1-r224",
    top: Annotated[int, "Number of classes to name."] = 5,
    out: Annotated[
        Path | None, "Folder for one JSON file per image. Default: write no files.", Flag(("--out", "-o"))
    ] = None,
    max_pixels: MaxPixels = imaging.DEFAULT_MAX_PIXELS,
    as_json: Json = False,
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
) -> None:
    """Name the most probable classes of every image."""
    if top < 1:
        raise UsageError(f"--top must be at least 1, got {top}")
    answer_images(
        "classify",
        sources,
        partial(load_model, model, load, task="classification"),
        partial(_finish, out=out, top=top),
        _format_line,
        exclude=out,
        max_pixels=max_pixels,
        as_json=as_json,
    )


def _finish(_: Any, source: Source, result: ClassificationResult, *, out: Path | None, top: int) -> Row:
    written = {} if out is None else {"written": [str(path) for path in result.save(out / source.stem, count=top)]}
    return written | result.to_json(count=top)


def _format_line(row: Row) -> str:
    guesses = ", ".join(f"{guess['name']} {100 * guess['probability']:.1f} %" for guess in row["top"])
    return f"{row['source']}  {guesses}"
