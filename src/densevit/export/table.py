"""The formats that a model can be written in: one row each, whose module is imported when it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from densevit.core.errors import UsageError
from densevit.core.files import write_atomically
from densevit.core.manifest import GoldenPair, Manifest
from densevit.core.packages import require_packages
from densevit.export.program import ExportError, Program, trace
from densevit.export.tolerances import find_tolerance
from densevit.export.verify import verify
from densevit.runtimes.golden import record_golden
from densevit.runtimes.options import LoadOptions
from densevit.tasks.examples import TESTED, choose_shapes, make_examples

_GOLDEN_SEED = 0


@dataclass(frozen=True)
class FormatRow:
    """What the house must know of a format.

    Attributes:
        name: of the format.
        suffix: of its files, in lower case.
        module: it has `write(program, manifest, path)`.
        runtime: a row of `runtimes.table.RUNTIMES`, in which files are verified.
        packages: import names of what must be installed to write it.
        extra: of densevit, which installs them.
    """

    name: str
    suffix: str
    module: str
    runtime: str
    packages: tuple[str, ...]
    extra: str


FORMATS: dict[str, FormatRow] = {
    row.suffix: row
    for row in (
        FormatRow("ONNX", ".onnx", "densevit.export.onnx", "openvino", ("onnx", "onnxscript", "onnx_ir"), "torch"),
    )
}
"""Suffix -> row."""


def find_format(path: Path) -> FormatRow:
    """The format of a file, by its suffix.

    Raises:
        UsageError: no format has it; the message lists the known ones.
    """
    row = FORMATS.get(path.suffix.lower())
    if row is None:
        raise UsageError(f"{path}: the suffix must be one of {', '.join(FORMATS)}")
    return row


def export_program(program: Program, path: Path, *, golden: bool = False) -> None:
    """Writes a program in the format of the suffix, and compares the file with it before it takes its place.

    Args:
        program: a traced model.
        path: the file; written atomically.
        golden: the header gets a golden pair of the first function; without it the header has none.

    Raises:
        UsageError: no format has this suffix.
        UnavailableError: a package is missing.
        ExportError: the exporter failed, or the two differ by more than `find_tolerance` allows.
    """
    row = find_format(path)
    require_packages(f"writing {row.name}", *row.packages, extra=row.extra)
    manifest = replace(program.manifest, golden=record_answers(program)) if golden else program.manifest
    with write_atomically(path) as temporary:
        importlib.import_module(row.module).write(program, manifest, temporary)
        check(temporary, program, row)


def check(path: Path, program: Program, row: FormatRow) -> None:
    """Refuses a file that does not answer as its program does.

    Raises:
        ExportError: states the function, the difference and the sizes of the inputs.
    """
    worst = verify(path, program, LoadOptions(runtime=row.runtime, precision="fp32")).worst
    if not worst.passed:
        inputs = ", ".join(map(str, worst.shapes))
        raise ExportError(
            f"{program.manifest.name}: {worst.function} {worst.output}: graph and model differ by "
            f"{worst.difference:.2g} for inputs of {inputs}"
        )


def write_graph(network: nn.Module, manifest: Manifest, path: Path, *, golden: bool = False) -> None:
    """Traces a network and writes it, see `trace` and `export_program`.

    Args:
        network: its functions take normalized float32 (B, C, H, W), or what their signatures say.
        manifest: goes into the header, with the converter's version added.
        path: the file.
        golden: as `export_program`.

    Raises:
        ExportError: as `export_program`.
        ManifestError: no reader would accept the manifest.
    """
    export_program(trace(network, manifest), path, golden=golden)


def record_answers(program: Program) -> GoldenPair:
    """The golden pair of the first function, which takes an image."""
    function, signature = next(iter(program.signatures.items()))
    shapes = choose_shapes(signature, TESTED[0], multiple=program.manifest.multiple)
    answers = program.run(function, make_examples(signature, shapes, seed=_GOLDEN_SEED))
    tolerance = max(map(find_tolerance, answers.values()))
    return record_golden(function, shapes, answers, seed=_GOLDEN_SEED, tolerance=tolerance)
