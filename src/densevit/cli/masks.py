"""`densevit masks`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from densevit import imaging
from densevit.cli.answer_images import Row, answer_images
from densevit.cli.flags import Flag, make_verb
from densevit.cli.options import Json, MaxPixels, ModelChoice, Out, Sources, load_model, parse_formats
from densevit.cli.progress import progress_bar
from densevit.core.errors import UsageError
from densevit.imaging import Source
from densevit.predict.everything import EverythingOptions
from densevit.predict.segment_anything import SegmentAnything
from densevit.runtimes.options import LoadOptions
from densevit.tasks.mask_result import MasksResult
from densevit.tasks.promptable import Scene

Answer = Callable[[SegmentAnything, Scene], MasksResult]
_SEVERAL = {"auto": None, "one": False, "three": True}


@make_verb
def masks(
    sources: Sources,
    *,
    model: ModelChoice = "sam-l0",
    box: Annotated[
        list[str] | None,
        "A box around an object, in pixels; may be repeated.",
        Flag(("--box", "-b"), "X0,Y0,X1,Y1"),
    ] = None,
    point: Annotated[
        list[str] | None,
        "A point on the object (1, the default) or on its background (0); may be repeated.",
        Flag(("--point", "-p"), "X,Y[,0|1]"),
    ] = None,
    everything: Annotated[
        bool, "Segment everything; options of the grid, from --points-per-side on, are for this alone."
    ] = False,
    multimask: Annotated[
        Literal["auto", "one", "three"], "one mask per prompt, three, or auto: three for a single point."
    ] = "auto",
    out: Out = Path("out"),
    formats: Annotated[
        str,
        f"Files to write, separated by commas: {', '.join(MasksResult.formats)}.",
        Flag(("--format", "-f")),
    ] = MasksResult.default_format,
    max_pixels: MaxPixels = imaging.DEFAULT_MAX_PIXELS,
    as_json: Json = False,
    options: EverythingOptions = EverythingOptions(),  # noqa: B008 - frozen
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
) -> None:
    """Find the masks of objects: by boxes, by points, or of everything.

    All points belong to one object; every box is an object of its own.
    """
    wanted = parse_formats(formats, MasksResult)
    boxes = [_parse_numbers(text, "--box", "X0,Y0,X1,Y1", 4) for text in box or ()]
    points = [_parse_point(text) for text in point or ()]
    if everything == bool(boxes or points):
        raise UsageError("give boxes (--box), points (--point) or --everything; --help shows an example")
    if not everything and options != EverythingOptions():
        raise UsageError("options of the grid and its masks, such as --points-per-side, are for --everything")
    if boxes and points:
        raise UsageError("--box and --point cannot be combined; run the command once for each")
    several = _SEVERAL[multimask]

    def answer(sam: SegmentAnything, scene: Scene) -> MasksResult:
        if everything:
            return _find_everything(sam, scene, options)
        if boxes:
            return sam.predict(scene, boxes=boxes, multimask=several)
        places = [[(x, y) for x, y, _ in points]]
        return sam.predict(scene, points=places, labels=[[label for *_, label in points]], multimask=several)

    answer_images(
        "masks",
        sources,
        partial(load_model, model, load, task="promptable"),
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
    model: SegmentAnything, source: Source, scene: Scene, *, answer: Answer, out: Path, formats: list[str]
) -> Row:
    result = answer(model, scene)
    written = result.save(out / source.stem, formats=formats)
    return {"written": [str(path) for path in written], **result.to_json()}


def _format_line(row: Row) -> str:
    count = len(row["masks"])
    best = "" if not count else f", best score {max(mask['score'] for mask in row['masks']):.3f}"
    written = row["written"]
    names = " ".join(written[:3]) + (f" and {len(written) - 3} more" if len(written) > 3 else "")
    return f"{names or row['source']}  {count} mask{'' if count == 1 else 's'}{best}"


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
