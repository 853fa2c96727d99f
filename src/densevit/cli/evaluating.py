"""`densevit eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from densevit.cli.options import Device, Json, Precision, Runtime, Weights, WorkingSize, load_model
from densevit.cli.progress import progress_bar
from densevit.data.table import SEGMENTATION_DATA, open_data
from densevit.evaluate import evaluate_segmentation
from densevit.tasks.segmentation import Segmentation


def evaluate(
    model: Annotated[str, typer.Argument(help="A model's name, or a graph or weights file.")],
    data: Annotated[
        str,
        typer.Option("--data", help=f"KIND:PATH; kinds: {', '.join(SEGMENTATION_DATA)}.", metavar="KIND:PATH"),
    ],
    split: Annotated[str, typer.Option("--split", help="Which part of the data.")] = "val",
    class_map: Annotated[
        Path | None,
        typer.Option("--class-map", help="JSON list: the data's class of each of the model's classes."),
    ] = None,
    weights: Weights = None,
    runtime: Runtime = "auto",
    precision: Precision = "fp32",
    device: Device = "auto",
    size: WorkingSize = None,
    as_json: Json = False,
) -> None:
    """Scores of a model on a data set; fp32 unless told otherwise."""
    mapping = None if class_map is None else _read_class_map(class_map)
    samples = open_data(data, split)
    loaded = load_model(model, weights=weights, runtime=runtime, precision=precision, device=device, size=size)
    if not isinstance(loaded.task, Segmentation):
        raise ValueError(f"{loaded.manifest.name}: {loaded.manifest.task} models cannot be evaluated yet")
    with progress_bar("eval", len(samples)) as advance:
        evaluation = evaluate_segmentation(
            loaded.task, loaded.runtime, samples, class_map=mapping, progress=lambda done, total: advance()
        )
    report = {
        "model": loaded.manifest.name,
        "data": data,
        "split": split,
        "runtime": loaded.runtime.name,
        "precision": loaded.runtime.precision,
        "size": str(loaded.task.size),
        "images": evaluation.images,
        "metrics": evaluation.metrics,
        "seconds": round(evaluation.seconds, 2),
    }
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        _show(report)


def _show(report: dict[str, Any]) -> None:
    metrics = report["metrics"]
    for name, value in metrics["iou_per_class"].items():
        typer.echo(f"{name:>16}  {'absent' if value is None else f'{value:6.2f}'}")
    typer.echo(f"{'mean IoU':>16}  {metrics['miou']:6.2f} %")
    typer.echo(f"{'pixel accuracy':>16}  {metrics['pixel_accuracy']:6.2f} %")
    typer.echo(
        f"{report['model']} on {report['data']} {report['split']}: {report['images']} pictures at "
        f"{report['size']}, {report['runtime']} {report['precision']}, {report['seconds']:.1f} s"
    )


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
