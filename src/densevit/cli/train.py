"""`densevit train`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from densevit.core.errors import InputError, UsageError
from densevit.core.messages import one_line
from densevit.core.packages import require_torch
from densevit.metrics import find_metric_format, format_metric

EXAMPLE = "densevit train camvid --data data/camvid --out runs/camvid --set steps=2000"


def train(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name, such as camvid, or FILE.py.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the data set.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for weights, checkpoints and logs.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint in --out.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change an option; may be repeated."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the options and exit.")] = False,
) -> None:
    """Train a model by a recipe.

    Start it with torchrun to use several processes.
    """
    require_torch("training", extra="train")
    from densevit.train.loop import fit
    from densevit.train.options import with_settings

    module = _import_recipe(name)
    options = with_settings(_find_options_type(module)(), settings or [])
    if show:
        typer.echo("\n".join(f"{key}={value}" for key, value in vars(options).items()))
        return
    if data is None or out is None:
        raise UsageError("a training needs --data and --out")
    scores = fit(module.recipe(data, options), out, resume=resume)
    if os.environ.get("RANK", "0") != "0":
        return
    for key, value in scores.items():
        typer.echo(f"{find_metric_format(key).title:>24}  {format_metric(key, value)}")
    typer.echo(f"best weights: {out / 'best.safetensors'}")


def _import_recipe(name: str) -> ModuleType:
    from densevit import recipes

    if name.lower().endswith(".py"):
        module = _import_file(Path(name))
    else:
        known = [entry.name for entry in pkgutil.iter_modules(recipes.__path__)]
        if name not in known:
            raise UsageError(f"unknown recipe {name!r}; known: {', '.join(known)}; or give a file NAME.py")
        module = importlib.import_module(f"densevit.recipes.{name}")
    if not callable(getattr(module, "recipe", None)):
        raise InputError(f"{name}: a recipe file must define recipe(data: Path, options: Options) -> Training")
    return module


def _import_file(path: Path) -> ModuleType:
    # a name that cannot shadow an installed module; dataclasses look up their own module by name
    name = f"densevit_recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"{path}: no such recipe file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError) as error:
        raise InputError(f"{path}: cannot be imported ({one_line(error)})") from error
    return module


def _find_options_type(module: ModuleType) -> type[Any]:
    """The annotation of the recipe's second parameter is the type of its options."""
    from densevit.train.options import Options

    parameters = list(inspect.signature(module.recipe, eval_str=True).parameters.values())
    kind = parameters[1].annotation if len(parameters) == 2 else None
    if not (isinstance(kind, type) and issubclass(kind, Options)):
        raise InputError(
            f"{module.__file__}: the second parameter of recipe() must be annotated with Options or a subclass"
        )
    return kind
