"""`densevit train`."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from densevit.cli.flags import Flag, make_verb, run_verb
from densevit.core.errors import InputError, UsageError
from densevit.core.messages import one_line
from densevit.core.packages import require_torch
from densevit.core.processes import read_launch
from densevit.metrics import find_metric_format, format_metric

_HELP = """Usage: densevit train RECIPE --data DIR --out DIR [options of the recipe]

Train a model by a recipe. Start it with torchrun to use several processes.

RECIPE  A recipe's name, or a file FILE.py of your own.
--list  List the recipes.

densevit train RECIPE --help shows the options of a recipe.

EXAMPLE
  densevit train camvid --data data/camvid --out runs/camvid --steps 2000"""


@make_verb
def train(*tokens: Annotated[str, "The recipe and its options.", Flag(raw=True)]) -> None:
    """Train a model by a recipe."""
    name, *rest = tokens or ("--help",)
    if name in ("--help", "-h"):
        print(_HELP)
        return
    if name == "--list":
        _list_recipes()
        return
    if name.startswith("-"):
        raise UsageError(f"the recipe comes first: densevit train RECIPE {name} ...; densevit train --list")
    require_torch("training", extra="train")
    module = _import_recipe(name)
    options = _find_options_type(module)()
    example = f"densevit train {name} --data DIR --out RUN --steps {options.steps}"
    help_text = inspect.cleandoc(module.__doc__ or "").partition("\n")[0]
    run_verb(f"densevit train {name}", _make_run(module, options), rest, help_text=help_text, example=example)


def _make_run(module: ModuleType, defaults: Any) -> Callable[..., None]:
    """A function whose parameters are the options of a recipe."""

    def run(
        *,
        data: Annotated[Path | None, "Folder of the data set."] = None,
        out: Annotated[Path | None, "Folder for weights, checkpoints and logs.", Flag(("--out", "-o"))] = None,
        resume: Annotated[bool, "Continue from the checkpoint in --out."] = False,
        show: Annotated[bool, "Print the options and exit."] = False,
        options: Any = defaults,
    ) -> None:
        if show:
            print("\n".join(f"{key}={value}" for key, value in vars(options).items()))
            return
        if data is None or out is None:
            raise UsageError("a training needs --data and --out")
        _train(module, data, out, options, resume=resume)

    run.__annotations__["options"] = type(defaults)
    return run


def _train(module: ModuleType, data: Path, out: Path, options: Any, *, resume: bool) -> None:
    from densevit.train.loop import fit

    scores = fit(module.recipe(data, options), out, resume=resume)
    if read_launch().rank != 0:
        return
    for key, value in scores.items():
        print(f"{find_metric_format(key).title:>24}  {format_metric(key, value)}")
    best = out / "best.safetensors"
    print(
        f"best weights: {best}" if best.is_file() else f"{out}: no weights were better than none; nothing was kept"
    )


def _list_recipes() -> None:
    """Names and what they train, from the first line of each file; nothing is imported, as that needs torch."""
    names = _find_recipes()
    width = max(map(len, names))
    for name, path in names.items():
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        print(f"{name.ljust(width)}  {text.partition(chr(10))[0]}")


def _find_recipes() -> dict[str, Path]:
    from densevit import recipes

    (folder,) = recipes.__path__
    return {entry.name: Path(folder) / f"{entry.name}.py" for entry in pkgutil.iter_modules(recipes.__path__)}


def _import_recipe(name: str) -> ModuleType:
    if name.lower().endswith(".py"):
        module = _import_file(Path(name))
    else:
        if name not in (known := _find_recipes()):
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
