"""`densevit info`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from densevit.cli.models import TITLES, describe_entry
from densevit.cli.options import Json, is_file_name
from densevit.core.manifest import METADATA_KEY, Manifest
from densevit.core.packages import require_torch
from densevit.predict.loading import GRAPH_SUFFIX
from densevit.variants import count, find_architecture
from densevit.weights import WeightsError, read_tensors
from densevit.zoo import Entry, find_model


def info(
    model: Annotated[str, typer.Argument(help="A model's name, or a graph or weights file.")],
    as_json: Json = False,
) -> None:
    """What one model or file is: task, classes, sizes, cost, weights."""
    if is_file_name(model):
        facts = _facts_of_file(Path(model))
    else:
        entry = find_model(model)
        facts = describe_entry(entry) | _described(entry.manifest()) | _hub(entry)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name.ljust(width)}  {_readable(value)}")


def _hub(entry: Entry) -> dict[str, Any]:
    if entry.hub is None:
        return {}
    return {"hub": f"{entry.hub.repository}/{entry.hub.name}", "hub_sha256": entry.hub.sha256}


def _described(manifest: Manifest) -> dict[str, Any]:
    """The manifest without what a file alone has."""
    kept = dataclasses.asdict(manifest)
    for name in (
        *("weights_sha256", "converter", "metrics", "weights_precision", "precision", "verified_precisions"),
        *("palette", "golden"),
    ):
        del kept[name]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


def _facts_of_file(path: Path) -> dict[str, Any]:
    """What the file's header says; of a foreign file, what its tensors tell."""
    manifest = _manifest_of_file(path)
    classes = len(manifest.class_names)
    try:
        table = find_architecture(manifest.architecture)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}; update densevit") from error
    cost = count(
        table, (manifest.multiple, manifest.multiple), in_channels=len(manifest.mean), classes=classes or None
    )
    facts = dataclasses.asdict(manifest)
    del facts["palette"], facts["golden"]
    return {"file": str(path), "bytes": path.stat().st_size, "params": cost.params, **facts}


def _manifest_of_file(path: Path) -> Manifest:
    if path.suffix == GRAPH_SUFFIX:
        from densevit.runtimes.openvino import OpenVINORuntime

        return OpenVINORuntime(path).manifest
    if path.suffix == ".safetensors":
        text = read_tensors(path)[1].get(METADATA_KEY)
        if text is not None:
            return Manifest.from_json(text, source=str(path))
    require_torch(f"{path}: reading foreign weights")
    from densevit.checkpoints.opening import identify_manifest

    return identify_manifest(path)


def _readable(value: Any) -> str:
    if isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values()):
        scores = {key: f" ({_readable(entry)})" if entry else "" for key, entry in value.items()}
        return ", ".join(f"{key}{entry}" for key, entry in scores.items()) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{TITLES.get(key, key)} {entry:g}" for key, entry in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(f"{entry:.4g}" if isinstance(entry, float) else str(entry) for entry in value[:20])
        return f"{shown}, ... ({len(value)} in all)" if len(value) > 20 else shown or "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value) or "-"
