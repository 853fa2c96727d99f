"""`densevit models`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from densevit.cli.flags import make_verb
from densevit.cli.options import Json
from densevit.metrics import find_metric_format, format_metric
from densevit.zoo import ZOO, Entry

_COLUMNS = ("name", "task", "parameters", "MACs", "at", "published", "weights", "licence")


@make_verb
def models(*, as_json: Json = False) -> None:
    """List all models: their cost, published scores, and where their weights are."""
    rows = [describe_entry(entry) for entry in ZOO.values()]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    lines = [_COLUMNS, *(_format_row(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def describe_entry(entry: Entry) -> dict[str, Any]:
    """The facts of one model, ready for JSON."""
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


def format_scores(scores: Mapping[str, float]) -> str:
    """Scores on one line with titles and units; a key may say where it was measured: "camvid/val/miou"."""
    parts = []
    for key, value in scores.items():
        place, slash, metric = key.rpartition("/")
        parts.append(f"{place}{slash}{find_metric_format(metric).title} {format_metric(metric, value)}")
    return ", ".join(parts)


def _format_row(row: dict[str, Any]) -> tuple[str, ...]:
    height, width = row["resolution"]
    return (
        row["name"],
        row["task"],
        f"{row['params'] / 1e6:.2f} M",
        f"{row['macs'] / 1e9:.2f} G",
        f"{height}x{width}",
        format_scores(_select_scores(row["published"])),
        row["weights"],
        row["licence"],
    )


def _select_scores(published: Mapping[str, float]) -> dict[str, float]:
    """Without those by size of the object, which `info` shows, so that a row fits a screen."""
    return {key: value for key, value in published.items() if not key.endswith(("_small", "_medium", "_large"))}
