"""The runtimes: one row each. A runtime's module, and with it its library, is imported when the row is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densevit.core.errors import InputError, UsageError
from densevit.core.manifest import METADATA_KEY, Manifest
from densevit.core.packages import require_packages, require_torch
from densevit.weights import WEIGHTS_SUFFIXES, read_tensors

if TYPE_CHECKING:
    from densevit.runtimes.base import Runtime
    from densevit.runtimes.options import LoadOptions


@dataclass(frozen=True)
class RuntimeRow:
    """What the house must know of a runtime.

    Attributes:
        name: what users call it.
        help: where it runs, in a few words.
        module: imported on use. It has `read_manifest(path) -> Manifest` if its files have headers.
        kind: name of the class in the module; it has `open(artefact, options) -> Runtime`.
        suffixes: of the files that it opens, in lower case.
        devices: it runs on.
        packages: import names of what must be installed.
        extra: of densevit, which installs them.
    """

    name: str
    help: str
    module: str
    kind: str
    suffixes: tuple[str, ...]
    devices: tuple[str, ...]
    packages: tuple[str, ...]
    extra: str

    def runs_on(self, device: str) -> bool:
        """Whether a device, as the user names it, is one of its kind."""
        return device == "auto" or device.partition(":")[0] in self.devices

    def load_class(self) -> Any:
        """Its class.

        Raises:
            UnavailableError: a package is missing.
        """
        require_packages(f"runtime {self.name}", *self.packages, extra=self.extra)
        return getattr(importlib.import_module(self.module), self.kind)


GRAPH_SUFFIX = ".onnx"

RUNTIMES: dict[str, RuntimeRow] = {
    row.name: row
    for row in (
        RuntimeRow(
            *("openvino", "CPU", "densevit.runtimes.openvino", "OpenVINORuntime"),
            suffixes=(GRAPH_SUFFIX,),
            devices=("cpu",),
            packages=("openvino",),
            extra="",
        ),
        RuntimeRow(
            *("eager", "PyTorch", "densevit.runtimes.eager", "EagerRuntime"),
            suffixes=WEIGHTS_SUFFIXES,
            devices=("cpu", "cuda", "mps"),
            packages=("torch",),
            extra="torch",
        ),
    )
}
"""Name -> row; "auto" takes the first that runs on the device."""


@dataclass(frozen=True)
class Artefact:
    """A file with a model.

    Attributes:
        path: of the file.
        manifest: of the model that was asked for; None where the file itself must tell.
    """

    path: Path
    manifest: Manifest | None = None


def check_runtime_name(name: str) -> None:
    """Refuses what is neither "auto" nor the name of a row.

    Raises:
        UsageError: lists the names.
    """
    if name not in ("auto", *RUNTIMES):
        raise UsageError(f"runtime must be one of auto, {', '.join(RUNTIMES)}, got {name!r}")


def choose_runtime(name: str, device: str, suffix: str = "") -> RuntimeRow:
    """The row of that name; "auto" is the first one that runs on the device, of those that open such files if any.

    Args:
        name: of a runtime, or "auto".
        device: as the user names it.
        suffix: of the file at hand; "" where several would do.

    Raises:
        UsageError: no such runtime, or none for the device.
    """
    check_runtime_name(name)
    if name != "auto":
        return RUNTIMES[name]
    rows = sorted(RUNTIMES.values(), key=lambda row: suffix not in row.suffixes)
    for row in rows:
        if row.runs_on(device):
            return row
    devices = sorted({device for row in RUNTIMES.values() for device in row.devices})
    raise UsageError(f"device must be auto or one of {', '.join(devices)}, got {device!r}")


def open_runtime(artefact: Artefact, options: LoadOptions) -> Runtime:
    """Opens a file in the runtime that the options name, "auto" in the first that opens such files.

    Raises:
        UsageError: the runtime does not open such files.
        UnavailableError: a package, the device or the precision is missing.
        InputError: the file cannot be read, or holds another model than was asked for.
    """
    suffix = artefact.path.suffix.lower()
    rows = RUNTIMES.values() if options.runtime == "auto" else [choose_runtime(options.runtime, options.device)]
    for row in rows:
        if suffix in row.suffixes and (len(rows) == 1 or row.runs_on(options.device)):
            runtime: Runtime = row.load_class().open(artefact, options)
            return runtime
    raise UsageError(f"{artefact.path}: runtime {options.runtime} does not open {suffix or 'such'} files")


def read_manifest(path: Path) -> Manifest:
    """What a model's file says about itself; of a foreign checkpoint, what its tensors tell.

    Raises:
        InputError: the file cannot be read, or says nothing.
        UnavailableError: a package is missing.
    """
    suffix = path.suffix.lower()
    if suffix in WEIGHTS_SUFFIXES:
        return _read_weights_manifest(path)
    for row in RUNTIMES.values():
        if suffix in row.suffixes:
            row.load_class()
            manifest: Manifest = importlib.import_module(row.module).read_manifest(path)
            return manifest
    known = [*WEIGHTS_SUFFIXES, *(suffix for row in RUNTIMES.values() for suffix in row.suffixes)]
    raise InputError(f"{path}: not a model's file; its suffix must be one of {', '.join(dict.fromkeys(known))}")


def is_model_file(model: str | Path) -> bool:
    """Whether a model is given as a file, by its suffix, and not by its name."""
    suffix = Path(model).suffix.lower()
    return suffix in WEIGHTS_SUFFIXES or any(suffix in row.suffixes for row in RUNTIMES.values())


def _read_weights_manifest(path: Path) -> Manifest:
    if path.suffix.lower() == ".safetensors":
        text = read_tensors(path)[1].get(METADATA_KEY)
        if text is not None:
            return Manifest.from_json(text, source=str(path))
    require_torch(f"{path}: reading official or timm weights")
    from densevit.checkpoints.opening import identify_manifest

    return identify_manifest(path)
