"""`densevit masks`."""

from __future__ import annotations

import math
from collections.abc import Callable
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
from densevit.cli.progress import progress_bar
from densevit.core.errors import UsageError
from densevit.imaging import Source
from densevit.predict.everything import EverythingOptions
from densevit.predict.model import Model
from densevit.predict.segment_anything import SegmentAnything
from densevit.tasks.mask_result import FORMATS, Format, MasksResult
from densevit.tasks.promptable import Scene

Multimask = Literal["auto", "one", "three"]
EXAMPLE = "densevit masks street.jpg --model mobile-sam --box 40,60,300,400 --box 310,80,500,390"


def masks(
    sources: Sources,
    model: ModelChoice = "sam-l0",
    weights: Weights = None,
    runtime: Runtime = "auto",
    precision: Precision = "auto",
    device: Device = "auto",
    size: WorkingSize = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box", "-b", metavar="X0,Y0,X1,Y1", help="A box around an object, in pixels; may be repeated."
        ),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(
            "--point",
            "-p",
            metavar="X,Y[,0|1]",
            help="A point on the object (1, the default) or on its background (0); may be repeated.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Segment everything.")] = False,
    multimask: Annotated[
        str, typer.Option("--multimask", help="one mask per prompt, three, or auto: three for a single point.")
    ] = "auto",
    points_per_side: Annotated[
        int, typer.Option("--points-per-side", help="Points per side of the grid of --everything.")
    ] = 32,
    crop_layers: Annotated[
        int,
        typer.Option("--crop-layers", help="Layers of crops that --everything adds for small objects."),
    ] = 0,
    out: Out = Path("out"),
    formats: Annotated[
        str, typer.Option("--format", "-f", help=f"Files to write, separated by commas: {', '.join(FORMATS)}.")
    ] = "overlay",
    max_pixels: MaxPixels = imaging.DEFAULT_MAX_PIXELS,
    as_json: Json = False,
) -> None:
    """Find the masks of objects: by boxes, by points, or of everything.

    All points belong to one object; every box is an object of its own.
    """
    wanted = _parse_formats(formats)
    if multimask not in get_args(Multimask):
        raise UsageError(f"--multimask must be one of {', '.join(get_args(Multimask))}, got {multimask!r}")
    boxes = [_parse_numbers(text, "--box", "X0,Y0,X1,Y1", 4) for text in box or ()]
    points = [_parse_point(text) for text in point or ()]
    if everything == bool(boxes or points):
        raise UsageError("give boxes (--box), points (--point) or --everything; --help shows an example")
    if boxes and points:
        raise UsageError("--box and --point cannot be combined; run the command once for each")
    options = EverythingOptions(points_per_side=points_per_side, crop_layers=crop_layers)
    loaded: list[SegmentAnything] = []

    def load() -> Model[Any]:
        model_in_use = load_model(
            model,
            weights=weights,
            runtime=runtime,
            precision=precision,
            device=device,
            size=size,
            task="promptable",
        )
        assert isinstance(model_in_use, SegmentAnything)
        loaded.append(model_in_use)
        return model_in_use

    several = {"auto": None, "one": False, "three": True}[multimask]

    def answer(scene: Scene) -> MasksResult:
        (sam,) = loaded
        if everything:
            return _find_everything(sam, scene, options)
        if boxes:
            return sam.predict(scene, boxes=boxes, multimask=several)
        places = [[(x, y) for x, y, _ in points]]
        return sam.predict(scene, points=places, labels=[[label for *_, label in points]], multimask=several)

    answer_images(
        "masks",
        sources,
        load,
        partial(_finish, answer=answer, out=out, formats=wanted),
        _format_line,
        exclude=out,
        max_pixels=max_pixels,
        as_json=as_json,
    )


def _find_everything(sam: SegmentAnything, scene: Scene, options: EverythingOptions) -> MasksResult:
    reported = 0
    with progress_bar("points", options.points_in_all) as advance:

        def progress(done: int, _: int) -> None:
            nonlocal reported
            advance(done - reported)
            reported = done

        found = tuple(sam.everything(scene, options, progress=progress))
    return MasksResult(found, scene.placement.image, scene.image)


def _finish(
    source: Source, scene: Scene, *, answer: Callable[[Scene], MasksResult], out: Path, formats: list[Format]
) -> Row:
    result = answer(scene)
    written = result.save(out / source.stem, formats=formats)
    return {"written": [str(path) for path in written], **result.to_json()}


def _format_line(row: Row) -> str:
    count = len(row["masks"])
    best = "" if not count else f", best score {max(mask['score'] for mask in row['masks']):.3f}"
    written = row["written"]
    names = " ".join(written[:3]) + (f" and {len(written) - 3} more" if len(written) > 3 else "")
    return f"{names or row['source']}  {count} mask{'' if count == 1 else 's'}{best}"


def _parse_formats(text: str) -> list[Format]:
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    if not wanted or any(name not in FORMATS for name in wanted):
        raise UsageError(f"--format must be some of {', '.join(FORMATS)}, separated by commas, got {text!r}")
    return [form for form in FORMATS if form in wanted]


def _parse_point(text: str) -> tuple[float, float, int]:
    parts = text.split(",")
    label = parts[2].strip() if len(parts) == 3 else "1"
    if len(parts) not in (2, 3) or label not in ("0", "1"):
        raise UsageError(f"--point must be X,Y or X,Y,0 or X,Y,1, got {text!r}")
    x, y = _parse_numbers(",".join(parts[:2]), "--point", "X,Y[,0|1]", 2)
    return x, y, int(label)


def _parse_numbers(text: str, option: str, form: str, count: int) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise UsageError(f"{option} must be {form}, numbers in pixels, got {text!r}")
    return values
