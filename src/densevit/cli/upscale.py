"""`densevit upscale`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from densevit import imaging
from densevit.cli.answer_images import Row, answer_images
from densevit.cli.flags import Flag, make_verb
from densevit.cli.options import Json, MaxPixels, ModelChoice, Out, Sources, load_model
from densevit.core.errors import UsageError
from densevit.imaging import Source
from densevit.runtimes.options import LoadOptions
from densevit.tasks.super_resolution import SuperResolutionResult

FORMATS = tuple(form for form in SuperResolutionResult.formats if form != "compare")


@make_verb
def upscale(
    sources: Sources,
    *,
    model: ModelChoice = "sr-x2",
    out: Out = Path("out"),
    file_format: Annotated[
        str, f"File format: {', '.join(FORMATS)}.", Flag(("--format", "-f"))
    ] = SuperResolutionResult.default_format,
    compare: Annotated[bool, "Also write an image that shows bicubic enlargement on its left half."] = False,
    max_pixels: MaxPixels = imaging.DEFAULT_MAX_PIXELS,
    as_json: Json = False,
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
) -> None:
    """Enlarge images; transparency, 16-bit depth, orientation and color profile are kept."""
    if file_format not in FORMATS:
        raise UsageError(f"--format must be one of {', '.join(FORMATS)}, got {file_format!r}")
    formats = [file_format, "compare"] if compare else [file_format]
    answer_images(
        "upscale",
        sources,
        partial(load_model, model, load, task="super_resolution"),
        partial(_finish, out=out, formats=formats),
        _format_line,
        exclude=out,
        max_pixels=max_pixels,
        as_json=as_json,
    )


def _finish(_: Any, source: Source, result: SuperResolutionResult, *, out: Path, formats: list[str]) -> Row:
    written = result.save(out / source.stem, formats=formats)
    return {"written": [str(path) for path in written], **result.to_json()}


def _format_line(row: Row) -> str:
    return f"{' '.join(row['written'])}  {row['width']} x {row['height']} px"
