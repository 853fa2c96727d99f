"""A toy runtime and its file format: everything that somebody writes to add one of either.

A ".toy" file is the manifest of a mean color model and what is added to its answers, which is 0 in a right file.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from densevit.core.manifest import Manifest
from densevit.export.table import FormatRow
from densevit.runtimes.base import check_inputs
from densevit.runtimes.table import RuntimeRow
from densevit.tasks.table import make_task

RUNTIME = RuntimeRow(
    *("toy", "numpy", "helpers.toy_runtime", "ToyRuntime"),
    suffixes=(".toy",),
    devices=("cpu",),
    packages=("numpy",),
    extra="toys",
)
FORMAT = FormatRow("Toy", ".toy", "helpers.toy_runtime", "toy", packages=("numpy",), extra="toys")
added = 0.0


def write(program, manifest: Manifest, path: Path) -> None:
    path.write_text(json.dumps({"manifest": manifest.to_json(), "added": added}))


def read_manifest(path: Path) -> Manifest:
    return Manifest.from_json(json.loads(path.read_text())["manifest"], source=str(path))


class ToyRuntime:
    name, precision, device = "toy", "fp32", "cpu"

    def __init__(self, path: Path) -> None:
        self.manifest = read_manifest(path)
        self._added = json.loads(path.read_text())["added"]
        self._signatures = make_task(self.manifest).signatures

    @classmethod
    def open(cls, artefact, options):
        return cls(artefact.path)

    def run(self, function, tensors):
        check_inputs(self._signatures, function, tensors)
        color = tensors["image"].astype(np.float64).mean(axis=(1, 2)) / 255 + self._added
        return {"color": color.astype(np.float32)}
