"""`densevit models`."""

from __future__ import annotations

import json
from typing import Any

import typer

from densevit.cli.options import Json
from densevit.zoo import ZOO, Entry

_COLUMNS = ("name", "task", "parameters", "MACs", "at", "published", "weights", "licence")
TITLES = {
    "miou": "mIoU",
    "top1": "top-1",
    "top5": "top-5",
    "coco_ap": "COCO AP",
    "lvis_ap": "LVIS AP",
    "iou": "IoU",
    "iou_large": "IoU large",
    "iou_medium": "IoU medium",
    "iou_small": "IoU small",
    "psnr_y": "PSNR-Y",
    "ssim_y": "SSIM-Y",
}


def models(as_json: Json = False) -> None:
    """Every model, what it costs, where its weights are."""
    rows = [describe_entry(entry) for entry in ZOO.values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    lines = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def describe_entry(entry: Entry) -> dict[str, Any]:
    """The facts of one row of the zoo, ready for JSON."""
    cost = entry.cost
    return {
        "name": entry.name,
        "task": entry.task,
        "params": cost.params,
        **({} if cost.encoder_params is None else {"encoder_params": cost.encoder_params}),
        "macs": cost.macs,
        "resolution": list(entry.resolution),
        "published": dict(entry.published),
        "weights": entry.weights,
        "licence": entry.licence,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    height, width = row["resolution"]
    return (
        row["name"],
        row["task"],
        f"{row['params'] / 1e6:.2f} M",
        f"{row['macs'] / 1e9:.2f} G",
        f"{height}x{width}",
        ", ".join(f"{TITLES.get(key, key)} {value:g}" for key, value in row["published"].items()),
        row["weights"],
        row["licence"],
    )
