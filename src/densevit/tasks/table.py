"""The task that a manifest names."""

from __future__ import annotations

from typing import TypeAlias

from densevit.core.manifest import Manifest, ManifestError
from densevit.tasks.classification import Classification, make_classification_task
from densevit.tasks.promptable import Promptable, make_promptable_task
from densevit.tasks.segmentation import Segmentation, make_segmentation_task
from densevit.tasks.super_resolution import SuperResolution, make_super_resolution_task

AnyTask: TypeAlias = Segmentation | Classification | Promptable | SuperResolution
"""All tasks."""


def make_task(manifest: Manifest, *, size: str | None = None) -> AnyTask:
    """The task of a model that describes itself.

    Args:
        manifest: of the model.
        size: overrides its size policy.

    Raises:
        ManifestError: a task that this version does not know.
        UsageError: a size policy that is unknown or does not fit the task.
    """
    match manifest.task:
        case "segmentation":
            return make_segmentation_task(manifest, size=size)
        case "classification":
            return make_classification_task(manifest, size=size)
        case "promptable":
            return make_promptable_task(manifest, size=size)
        case "super_resolution":
            return make_super_resolution_task(manifest, size=size)
        case _:
            raise ManifestError(
                f"{manifest.name}: task {manifest.task!r} is not known to this version of densevit; update it"
            )
