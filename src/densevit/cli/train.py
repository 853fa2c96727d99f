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

from densevit.core.messages import one_line
from densevit.core.packages import require_torch


def train(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name, such as camvid, or FILE.py.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the data set.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for weights, checkpoints and logs.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change an option of the recipe.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the options and stop.")] = False,
) -> None:
    """Train a model by a recipe.

    Run it under torchrun for several processes.
    """
    require_torch("training", extra="train")
    from densevit.train.loop import fit
    from densevit.train.options import with_settings

    module = _recipe_module(name)
    options = with_settings(_options_type(module)(), settings or [])
    if show:
        typer.echo("\n".join(f"{key}={value}" for key, value in vars(options).items()))
        return
    if data is None or out is None:
        raise ValueError("a training needs --data and --out")
    scores = fit(module.recipe(data, options), out, resume=resume)
    if os.environ.get("RANK", "0") != "0":
        return
    for key, value in scores.items():
        typer.echo(f"{key:>24}  {value:.2f}")
    typer.echo(f"best weights: {out / 'best.safetensors'}")


def _recipe_module(name: str) -> ModuleType:
    from densevit import recipes

    if name.endswith(".py"):
        module = _module_of_file(Path(name))
    else:
        known = [entry.name for entry in pkgutil.iter_modules(recipes.__path__)]
        if name not in known:
            raise ValueError(f"unknown recipe {name!r}; known: {', '.join(known)}, or a file NAME.py")
        module = importlib.import_module(f"densevit.recipes.{name}")
    if not callable(getattr(module, "recipe", None)):
        raise ValueError(f"{name}: a recipe file defines recipe(data: Path, options: Options) -> Training")
    return module


def _module_of_file(path: Path) -> ModuleType:
    # a name that cannot hide an installed module; data classes look their own module up by name
    name = f"densevit_recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ValueError(f"{path}: no such recipe file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError) as error:
        raise ValueError(f"{path}: cannot be imported ({one_line(error)})") from error
    return module


def _options_type(module: ModuleType) -> type[Any]:
    """The type of the recipe's options is the annotation of its second parameter."""
    from densevit.train.options import Options

    parameters = list(inspect.signature(module.recipe, eval_str=True).parameters.values())
    kind = parameters[1].annotation if len(parameters) == 2 else None
    if not (isinstance(kind, type) and issubclass(kind, Options)):
        raise ValueError("a recipe's second parameter is annotated with Options or a class derived from it")
    return kind
