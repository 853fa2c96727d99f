"""`densevit convert`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from densevit.cli.flags import Flag, make_verb
from densevit.cli.options import Json
from densevit.core.classes import ClassTable
from densevit.core.packages import require_torch
from densevit.data.folder import read_classes
from densevit.zoo import find_model


@make_verb
def convert(
    source: Annotated[Path, "Official, timm or densevit weights.", Flag(metavar="IN")],
    target: Annotated[Path, "The .safetensors file to write.", Flag(metavar="OUT")],
    *,
    model: Annotated[
        str | None, "The model of these weights, if they do not tell it themselves.", Flag(("--model", "-m"))
    ] = None,
    classes: Annotated[
        Path | None, "File with the class names, one per line, as classes.txt of folder data."
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert official or timm weights to densevit's .safetensors format.

    The file describes its model in a header; convolution and linear weights are stored as fp16.
    """
    require_torch("converting weights")
    from densevit.checkpoints.conversion import convert as convert_file

    table = None if classes is None else _read_class_table(classes)
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
        print(json.dumps(report, indent=1))
    else:
        print(f"{target}  {manifest.name}, {size / 1e6:.1f} MB")


def _read_class_table(path: Path) -> ClassTable:
    names, palette = read_classes(path, most=None)
    return ClassTable(names, tuple((int(r), int(g), int(b)) for r, g, b in palette))
