"""The one table of models: name -> architecture, task, weights, sizes, published figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from densevit.classes import class_table
from densevit.manifest import Manifest
from densevit.variants import SEGMENTATION, Cost, count
from densevit.weights import ASSETS, HubFile, is_cached

OFFICIAL_SEGMENTATION = "han-cai/efficientvit-seg"


class UnknownModelError(ValueError):
    """No model of that name; the message lists those there are."""


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        name: as given to `densevit.load`.
        architecture: key of the variant table.
        data_set: whose classes the model knows.
        size: default size policy.
        published_size: the paper's evaluation.
        resolution: (height, width) at which MACs are counted.
        hub: where the published weights are, None for bundled models.
        published: figures of the paper or the official repository.
        licence: of the weights.
    """

    name: str
    architecture: str
    data_set: str
    size: str
    published_size: str
    resolution: tuple[int, int]
    hub: HubFile | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    licence: str = "Apache-2.0"
    task: Literal["segmentation"] = "segmentation"

    @property
    def graph(self) -> Path | None:
        """The bundled graph file, None where none is bundled."""
        path = ASSETS / f"{self.name}.onnx"
        return path if self.hub is None and path.is_file() else None

    @property
    def tensors(self) -> Path | None:
        """The bundled weights file, None where none is bundled."""
        path = ASSETS / f"{self.name}.safetensors"
        return path if self.hub is None and path.is_file() else None

    @property
    def weights(self) -> Literal["bundled", "cached", "hub", "none"]:
        """Where the weights are."""
        if self.graph is not None:
            return "bundled"
        if self.hub is None:
            return "none"
        return "cached" if is_cached(self.hub) else "hub"

    @property
    def cost(self) -> Cost:
        """Learnable parameters, and MACs at `resolution`."""
        classes = len(class_table(self.data_set).names)
        return count(SEGMENTATION[self.architecture], self.resolution, classes=classes)

    def manifest(self) -> Manifest:
        """The manifest of foreign weights that are loaded under this name."""
        table = class_table(self.data_set)
        return Manifest(
            name=self.name,
            task=self.task,
            architecture=self.architecture,
            class_names=table.names,
            palette=table.colours,
            size=self.size,
            published_size=self.published_size,
            licence=self.licence,
        )


def _entries() -> Iterator[Entry]:
    yield Entry("seg-b0-camvid", "seg-b0", "camvid", "short:720", "native", (720, 960))
    cityscapes = {"b0": 75.653, "b1": 80.547, "b2": 82.073, "b3": 83.016, "l1": 82.716, "l2": 83.228}
    for variant, miou in cityscapes.items():
        yield Entry(
            f"seg-{variant}-cityscapes",
            f"seg-{variant}",
            "cityscapes",
            "short:1024",
            "exact:1024x2048",
            (1024, 2048),
            HubFile(OFFICIAL_SEGMENTATION, f"efficientvit_seg_{variant}_cityscapes.pt"),
            {"miou": miou},
        )
    ade20k = {"b1": 42.840, "b2": 45.941, "b3": 49.013, "l1": 49.191, "l2": 50.702}
    for variant, miou in ade20k.items():
        yield Entry(
            f"seg-{variant}-ade20k",
            f"seg-{variant}-ade20k",
            "ade20k",
            "short:512",
            "short:512/32",
            (512, 512),
            HubFile(OFFICIAL_SEGMENTATION, f"efficientvit_seg_{variant}_ade20k.pt"),
            {"miou": miou},
        )


ZOO: dict[str, Entry] = {entry.name: entry for entry in _entries()}
"""Every model by name."""


def find(name: str) -> Entry:
    """The row of that name; the official names (`efficientvit-seg-b0-cityscapes`) are accepted too.

    Raises:
        UnknownModelError: no such model.
    """
    own = name.lower().replace("_", "-").removeprefix("efficientvit-")
    if own not in ZOO:
        raise UnknownModelError(f"unknown model {name!r}; known: {', '.join(ZOO)}")
    return ZOO[own]
