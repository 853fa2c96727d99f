"""`densevit convert`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer

from densevit.cli.options import Json
from densevit.predict import TorchNeededError
from densevit.zoo import find


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Official, timm or own weights.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The own file to write.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="The model that the weights are of, where they do not tell."),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option("--classes", help="Class names, one per line, where they are not the model's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn weights of any origin into an own file, which says itself what it is (fp16, safetensors)."""
    if importlib.util.find_spec("torch") is None:
        raise TorchNeededError("converting weights needs torch: pip install 'densevit[torch]'")
    from densevit.foreign import convert as convert_file

    names = () if classes is None else _class_names(classes)
    entry = None if model is None else find(model)
    manifest = convert_file(source, target, entry=entry, class_names=names)
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


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a list of class names ({error})") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise ValueError(f"{path}: names no class; write one per line")
    return names
