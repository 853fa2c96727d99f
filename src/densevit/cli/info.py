"""`densevit info`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

from densevit.cli.flags import make_verb
from densevit.cli.models import describe_entry, format_scores
from densevit.cli.options import Json
from densevit.core.errors import InputError
from densevit.core.manifest import Manifest
from densevit.runtimes.table import is_model_file, read_manifest
from densevit.tasks.table import make_task
from densevit.variants import count, find_architecture
from densevit.zoo import Entry, find_model


@make_verb
def info(model: Annotated[str, "A model's name, or an ONNX or weights file."], *, as_json: Json = False) -> None:
    """Describe a model or file: task, classes, sizes, cost, weights."""
    if is_model_file(model):
        facts = _describe_file(Path(model))
    else:
        entry = find_model(model)
        facts = describe_entry(entry) | _describe_manifest(entry.manifest()) | _describe_hub(entry)
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.ljust(width)}  {_format_value(value)}")


def _describe_hub(entry: Entry) -> dict[str, Any]:
    if entry.hub is None:
        return {}
    return {"hub": f"{entry.hub.repository}/{entry.hub.name}", "hub_sha256": entry.hub.sha256}


def _describe_manifest(manifest: Manifest) -> dict[str, Any]:
    """The manifest without the entries that only a file has."""
    kept = dataclasses.asdict(manifest)
    for name in (
        *("weights_sha256", "converter", "metrics", "weights_precision", "precision", "verified_precisions"),
        *("palette", "golden"),
    ):
        del kept[name]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


def _describe_file(path: Path) -> dict[str, Any]:
    """The facts in the file's manifest; of an official or timm file, what its tensors tell."""
    manifest = read_manifest(path)
    # refuses a task of a later version
    make_task(manifest)
    classes = len(manifest.class_names)
    try:
        table = find_architecture(manifest.architecture)
    except ValueError as error:
        # the table does not have this name; a later version may
        raise InputError(f"{path}: {error}; update densevit") from error
    cost = count(
        table, (manifest.multiple, manifest.multiple), in_channels=len(manifest.mean), classes=classes or None
    )
    facts = dataclasses.asdict(manifest)
    del facts["palette"], facts["golden"]
    return {"file": str(path), "bytes": path.stat().st_size, "params": cost.params, **facts}


def _format_value(value: Any) -> str:
    if isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values()):
        # precision -> the scores measured in it
        scores = {key: f" ({format_scores(entry)})" if entry else "" for key, entry in value.items()}
        return ", ".join(f"{key}{text}" for key, text in scores.items()) or "-"
    if isinstance(value, dict):
        return format_scores(value) or "-"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(f"{entry:.4g}" if isinstance(entry, float) else str(entry) for entry in value[:20])
        return f"{shown}, ... ({len(value)} in total)" if len(value) > 20 else shown or "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value) or "-"
