"""`densevit segment`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from densevit import imaging
from densevit.cli.answer_images import Row, answer_images
from densevit.cli.flags import Flag, make_verb
from densevit.cli.options import Json, MaxPixels, ModelChoice, Out, Sources, load_model, parse_formats
from densevit.imaging import Source
from densevit.runtimes.options import LoadOptions
from densevit.tasks.segmentation import SegmentationResult


@make_verb
def segment(
    sources: Sources,
    *,
    model: ModelChoice = "seg-b0-camvid",
    out: Out = Path("out"),
    formats: Annotated[
        str,
        f"Files to write, separated by commas: {', '.join(SegmentationResult.formats)}.",
        Flag(("--format", "-f")),
    ] = SegmentationResult.default_format,
    max_pixels: MaxPixels = imaging.DEFAULT_MAX_PIXELS,
    as_json: Json = False,
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
) -> None:
    """Find the class of every pixel."""
    wanted = parse_formats(formats, SegmentationResult)
    answer_images(
        "segment",
        sources,
        partial(load_model, model, load, task="segmentation"),
        partial(_finish, out=out, formats=wanted),
        _format_line,
        exclude=out,
        max_pixels=max_pixels,
        as_json=as_json,
    )


def _finish(_: Any, source: Source, result: SegmentationResult, *, out: Path, formats: list[str]) -> Row:
    written = result.save(out / source.stem, formats=formats)
    return {"written": [str(path) for path in written], **result.to_json()}


def _format_line(row: Row) -> str:
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in list(row["fractions"].items())[:4])
    return f"{' '.join(row['written'])}  {shares}"
