"""`densevit convert`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from densevit.cli.options import Json
from densevit.core.classes import ClassTable
from densevit.core.packages import require_torch
from densevit.data.folder import read_classes
from densevit.zoo import find_model


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Official, timm or own weights.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The own file to write.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="The model that the weights are of, where they do not tell."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", help="Names of the classes, one a line, as in classes.txt of folder: data."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Weights of any origin become an own file.

    It says itself what it is; weights are stored as fp16, in safetensors.
    """
    require_torch("converting weights")
    from densevit.checkpoints.conversion import convert as convert_file

    table = None if classes is None else _class_table(classes)
    entry = None if model is None else find_model(model)
    manifest = convert_file(source, target, entry=entry, classes=table)
    size = target.stat().st_size
    report = {
        "file": str(target),
        "model": manifest.name,
        "architecture": manifest.architecture,
        "classes": len(manifest.class_names),
        "bytes": size,
        "weights_sha256": manifest.weights_sha256,
    }
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        typer.echo(f"{target}  {manifest.name}, {size / 1e6:.1f} MB")


def _class_table(path: Path) -> ClassTable:
    names, palette = read_classes(path, most=None)
    return ClassTable(names, tuple((int(r), int(g), int(b)) for r, g, b in palette))
