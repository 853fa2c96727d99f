"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from densevit.cli.flags import Flag
from densevit.core.errors import UsageError
from densevit.runtimes.options import LoadOptions
from densevit.runtimes.table import is_model_file

if TYPE_CHECKING:
    from densevit.tasks.result import Result

Sources = Annotated[list[str], "Images, folders, or patterns such as 'in/**/*.jpg'.", Flag(("sources",))]
ModelChoice = Annotated[str, "A model's name, or an ONNX or weights file.", Flag(("--model", "-m"))]
Out = Annotated[Path, "Folder for the results.", Flag(("--out", "-o"))]
MaxPixels = Annotated[int, "Refuse larger images before they are decoded."]
Json = Annotated[bool, "Print JSON on stdout.", Flag(("--json",))]


def load_model(model: str, options: LoadOptions, *, task: str | None = None) -> Any:
    """`densevit.load` for a verb.

    Args:
        model: name or file.
        options: as the user gave them.
        task: the task that the verb needs, None for any.

    Raises:
        UsageError: the model has another task; the message names the right verb.
        DensevitError: as `densevit.load`.
    """
    # imported here: a help text does not need them
    from densevit.predict.loading import load_with
    from densevit.zoo import find_model

    if not is_model_file(model):
        # before anything is downloaded
        _require_task(find_model(model).name, find_model(model).task, task)
    loaded = load_with(model, options)
    _require_task(loaded.manifest.name, loaded.manifest.task, task)
    return loaded


def parse_formats(text: str, kind: type[Result]) -> list[str]:
    """The formats of a result in the order of its table, from "overlay,labels".

    Raises:
        UsageError: none, or an unknown one.
    """
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    if not chosen or (unknown := [part for part in chosen if part not in kind.formats]):
        got = repr(unknown[0]) if chosen else repr(text)
        raise UsageError(f"--format must be some of {', '.join(kind.formats)}, separated by commas, got {got}")
    return [form for form in kind.formats if form in chosen]


def check_max_pixels(max_pixels: int) -> None:
    """Refuses a limit below one pixel."""
    if max_pixels < 1:
        raise UsageError(f"--max-pixels must be at least 1, got {max_pixels}")


def _require_task(name: str, found: str, wanted: str | None) -> None:
    from densevit.tasks.table import TASKS

    if wanted not in (None, found):
        remedy = f"use densevit {TASKS[found].verb}" if found in TASKS else "no verb runs this task yet"
        raise UsageError(f"{name}: its task is {found}, this verb needs {wanted}; {remedy}")
