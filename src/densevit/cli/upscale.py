"""`densevit upscale`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

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
from densevit.core.errors import InputError, UsageError
from densevit.imaging import Source
from densevit.predict.model import Model
from densevit.tasks.super_resolution import SuperResolution, SuperResolutionResult

Format = Literal["png", "jpg", "webp", "tif"]
FORMATS: tuple[Format, ...] = get_args(Format)
MAX_WEBP_SIDE_PX = 16_383
"""libwebp's limit; Pillow reports it as a plain ValueError."""
EXAMPLE = "densevit upscale photo.jpg --compare"


def upscale(
    sources: Sources,
    model: ModelChoice = "sr-x2",
    weights: Weights = None,
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    device: Device = "auto",
    size: WorkingSize = None,
    tile: Annotated[
        str, typer.Option("--tile", help="Side of the tiles in pixels; auto, or whole for one tile.")
    ] = "auto",
    out: Out = Path("out"),
    file_format: Annotated[
        str, typer.Option("--format", "-f", help=f"File format: {', '.join(FORMATS)}.")
    ] = "png",
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Also write an image that shows bicubic enlargement on its left half.",
        ),
    ] = False,
    max_pixels: MaxPixels = imaging.DEFAULT_MAX_PIXELS,
    as_json: Json = False,
) -> None:
    """Enlarge images; transparency, 16-bit depth, orientation and color profile are kept."""
    if file_format not in FORMATS:
        raise UsageError(f"--format must be one of {', '.join(FORMATS)}, got {file_format!r}")

    def load() -> Model[Any]:
        upscaler = load_model(
            model,
            weights=weights,
            runtime=runtime,
            precision=precision,
            device=device,
            size=size,
            task="super_resolution",
        )
        assert isinstance(upscaler.task, SuperResolution)
        if tile != "auto":
            upscaler.task.tile_px = _parse_tile(tile, upscaler.task)
        return upscaler

    answer_images(
        "upscale",
        sources,
        load,
        partial(_finish, out=out, file_format=file_format, compare=compare),
        _format_line,
        exclude=out,
        max_pixels=max_pixels,
        as_json=as_json,
    )


def _parse_tile(text: str, task: SuperResolution) -> int | None:
    """Side in pixels, rounded up to a multiple that the network takes; None for the whole image."""
    if text == "whole":
        return None
    if not text.isdecimal() or len(text) > 6 or int(text) <= 2 * task.halo_px:
        raise UsageError(f"--tile must be auto, whole, or a side above {2 * task.halo_px} pixels, got {text!r}")
    return -(-int(text) // task.multiple) * task.multiple


def _finish(source: Source, result: SuperResolutionResult, *, out: Path, file_format: str, compare: bool) -> Row:
    stem = out / source.stem
    height, width = result.image.shape[:2]
    if file_format == "webp" and max(height, width) > MAX_WEBP_SIDE_PX:
        raise InputError(
            f"WebP holds at most {MAX_WEBP_SIDE_PX:,} px a side, got {width} x {height} px; use --format png"
        )
    written = [result.save(stem.with_name(f"{stem.name}.{file_format}"))]
    if compare:
        written.append(stem.with_name(f"{stem.name}.compare.jpg"))
        result.compare().save(written[-1])
    return {"written": [str(path) for path in written], **result.to_json()}


def _format_line(row: Row) -> str:
    return f"{' '.join(row['written'])}  {row['width']} x {row['height']} px"
