"""`densevit eval`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from densevit.cli.options import (
    Device,
    Json,
    Precision,
    Runtime,
    Weights,
    WorkingSize,
    is_file_name,
    load_model,
)
from densevit.cli.progress import progress_bar
from densevit.core.packages import require_torch
from densevit.core.processes import Processes, SingleProcess
from densevit.data.checking import check_samples
from densevit.data.detections import read_detections
from densevit.data.table import DATA, KINDS, kind_of, open_data
from densevit.evaluate import Evaluation, list_kinds
from densevit.evaluate import evaluate as evaluate_model
from densevit.evaluate.promptable import Prompt
from densevit.predict.model import Model
from densevit.zoo import UnknownModelError, find_model

_VAL_IMAGES = {"coco": 5000, "cityscapes": 500, "ade20k": 2000, "imagenet": 50_000}
_TITLES = {
    "miou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "top1": "top-1",
    "top5": "top-5",
    "psnr_y": "PSNR on Y",
    "ssim_y": "SSIM on Y",
    "iou": "mean IoU of masks",
    "iou_small": "small",
    "iou_medium": "medium",
    "iou_large": "large",
    "ap": "mask AP",
}
_UNITS = {"psnr_y": "dB", "ssim_y": ""}
"""Of what is no percentage."""


def evaluate(
    model: Annotated[str, typer.Argument(help="A model's name, or a graph or weights file.")],
    data: Annotated[
        str, typer.Option("--data", help=f"KIND:PATH; kinds: {', '.join(DATA)}.", metavar="KIND:PATH")
    ],
    split: Annotated[str, typer.Option("--split", help="Which part of the data.")] = "val",
    class_map: Annotated[
        Path | None,
        typer.Option("--class-map", help="JSON list: the data's class of each of the model's classes."),
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", help="What objects are asked for by: box or point.")] = "box",
    clicks: Annotated[
        int, typer.Option("--clicks", help="With --prompt point: clicks per object, each on the largest error.")
    ] = 1,
    boxes: Annotated[
        Path | None,
        typer.Option("--boxes", help="A detector's boxes (COCO results JSON): average precision of their masks."),
    ] = None,
    weights: Weights = None,
    runtime: Runtime = "auto",
    precision: Precision = "fp32",
    device: Device = "auto",
    size: WorkingSize = None,
    as_json: Json = False,
) -> None:
    """Scores of a model on a data set.

    In fp32 unless told otherwise. Under torchrun several processes share the data, with the same result.
    """
    mapping = None if class_map is None else _read_class_map(class_map)
    found = None if boxes is None else read_detections(boxes)
    kind = kind_of(data)
    if not is_file_name(model):
        # before anything is fetched
        _require_kind(data, kind, find_model(model).name, find_model(model).task)
    with _join_processes() as processes:
        samples = open_data(data, split)
        check_samples(samples)
        loaded = load_model(model, weights=weights, runtime=runtime, precision=precision, device=device, size=size)
        manifest = loaded.manifest
        _require_kind(data, kind, manifest.name, manifest.task)
        steps = len(range(0, len(samples), processes.size)) if processes.rank == 0 else 0
        with progress_bar("eval", steps) as advance:
            evaluation = evaluate_model(
                loaded,
                samples,
                class_map=mapping,
                prompt=cast("Prompt", prompt),
                clicks=clicks,
                boxes=found,
                progress=lambda done, total: advance(),
                processes=processes,
            )
    if processes.rank != 0:
        return
    report = {
        "model": manifest.name,
        "data": data,
        "split": split,
        "runtime": loaded.runtime.name,
        "precision": loaded.runtime.precision,
        "size": str(loaded.task.size),
        "images": evaluation.images,
        "metrics": evaluation.metrics,
        "published": _published(loaded, kind, split, evaluation) if prompt == "box" and boxes is None else None,
        "seconds": round(evaluation.seconds, 2),
    }
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        _show(report)


def _require_kind(data: str, kind: str, model: str, task: str) -> None:
    if kind not in KINDS.get(task, ()):
        raise ValueError(
            f"{data}: kind {kind} is not for {model}, whose task is {task}; kinds that fit: {list_kinds(task)}"
        )


@contextmanager
def _join_processes() -> Iterator[Processes]:
    """The processes that torchrun started with this one, or this one alone."""
    count = os.environ.get("WORLD_SIZE", "1")
    if not count.isdigit():
        raise ValueError(f"WORLD_SIZE must be a number of processes, got {count!r}; torchrun sets it")
    if int(count) <= 1:
        yield SingleProcess()
        return
    require_torch("an evaluation by several processes")
    from densevit.core.torch_processes import join_processes

    with join_processes() as processes:
        yield processes


def _published(model: Model[Any], kind: str, split: str, evaluation: Evaluation) -> dict[str, Any] | None:
    """The published figures of what was measured, and what they were measured on that this was not.

    None where there are none for this data.
    """
    manifest = model.manifest
    try:
        entry = find_model(manifest.name)
    except UnknownModelError:
        return None
    # promptable models know no classes; what is published of them is of COCO's boxes
    measured_on = "coco" if entry.task == "promptable" else entry.data_set
    if measured_on != kind or entry.classes.names != manifest.class_names or split not in ("val", "validation"):
        return None
    figures = {name: entry.published[name] for name in evaluation.metrics if name in entry.published}
    if not figures:
        return None
    differs = []
    if str(model.task.size) != manifest.published_size:
        differs.append(f"--size published ({manifest.published_size})")
    if evaluation.images != _VAL_IMAGES.get(kind, evaluation.images):
        differs.append(f"all {_VAL_IMAGES[kind]:,} images")
    return {**figures, "but_on": differs}


def _show(report: dict[str, Any]) -> None:
    metrics = dict(report["metrics"])
    _show_classes(metrics.pop("iou_per_class", {}))
    published = report["published"] or {}
    for name, value in metrics.items():
        if value is None:
            typer.echo(f"{_TITLES.get(name, name):>20}  absent")
            continue
        unit = _UNITS.get(name, "%")
        digits = 4 if name == "ssim_y" else 2
        beside = f"   published {published[name]:.{digits}f} {unit}" if name in published else ""
        if beside and published["but_on"]:
            beside += f" (on {', '.join(published['but_on'])})"
        typer.echo(f"{_TITLES.get(name, name):>20}  {value:6.{digits}f} {unit}{beside}".rstrip())
    typer.echo(
        f"{report['model']} on {report['data']} {report['split']}: {report['images']} images at "
        f"{report['size']}, {report['runtime']} {report['precision']}, {report['seconds']:.1f} s"
    )


def _show_classes(scores: dict[str, float | None]) -> None:
    """Best first; a class that occurs neither in labels nor in answers is no part of the mean."""
    for name, value in sorted(scores.items(), key=lambda row: -1.0 if row[1] is None else row[1], reverse=True):
        typer.echo(f"{name:>20}  {'absent' if value is None else f'{value:6.2f} %'}")


def _read_class_map(path: Path) -> list[int]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as a class map ({error})") from error
    if isinstance(entries, dict):
        entries = entries.get("map")
    if not isinstance(entries, list):
        raise ValueError(f"{path}: a class map is a JSON list of integers, one per class of the model")
    return entries
