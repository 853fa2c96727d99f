"""The tasks: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest, ManifestError
from densevit.tasks.base import Task
from densevit.tasks.classification import make_classification_task
from densevit.tasks.promptable import make_promptable_task
from densevit.tasks.scoring import Scorer
from densevit.tasks.segmentation import make_segmentation_task
from densevit.tasks.super_resolution import make_super_resolution_task
from densevit.tasks.tiled import TileableTask, Tiled, parse_tile


@dataclass(frozen=True)
class TaskRow:
    """What the house must know of a task.

    Attributes:
        make: (manifest, size policy or None for the manifest's own) -> the task.
        verb: of the command line that runs it on images.
        make_scorer: (manifest, data set) -> the scores of its results; None where `densevit.evaluate` has
            more than that for the task.
    """

    make: Callable[[Manifest, str | None], Task[Any]]
    verb: str
    make_scorer: Callable[[Manifest, Any], Scorer] | None = None


TASKS: dict[str, TaskRow] = {
    "segmentation": TaskRow(make_segmentation_task, "segment"),
    "classification": TaskRow(make_classification_task, "classify"),
    "super_resolution": TaskRow(make_super_resolution_task, "upscale"),
    "promptable": TaskRow(make_promptable_task, "masks"),
}
"""Name of a task, as manifests have it -> its row."""


def make_task(manifest: Manifest, *, size: str | None = None, tile: int | str = "auto") -> Task[Any]:
    """The task of a model that describes itself.

    Args:
        manifest: of the model.
        size: overrides its size policy.
        tile: side in pixels of the tiles that larger images are answered in, "whole" for the whole image at once,
            "auto" for the task's own choice.

    Raises:
        ManifestError: a task that this version does not know.
        UsageError: a size policy that is unknown or does not fit the task, or tiles that do not.
    """
    row = TASKS.get(manifest.task)
    if row is None:
        raise ManifestError(
            f"{manifest.name}: task {manifest.task!r} is not known to this version of densevit; update it"
        )
    task = row.make(manifest, size)
    if isinstance(task, TileableTask):
        tile_px = parse_tile(tile, task)
        return task if tile_px is None else Tiled(task, tile_px)
    if tile not in ("auto", "whole"):
        raise UsageError(f"{manifest.name}: {manifest.task} needs the whole image; leave tile out (--tile, tile=)")
    return task
