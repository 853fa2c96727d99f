"""Any artefact against its model, through any runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from densevit.core.manifest import Manifest
from densevit.export.tolerances import find_tolerance
from densevit.runtimes.options import LoadOptions
from densevit.runtimes.table import Artefact, open_runtime
from densevit.tasks.base import Signature
from densevit.tasks.examples import TESTED, choose_shapes, make_examples


class Reference(Protocol):
    """What answers as the model does: a `Program`, or any runtime."""

    @property
    def manifest(self) -> Manifest:
        """Of the model."""
        ...

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """Of its functions."""
        ...

    def run(self, function: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs a function by name."""
        ...


@dataclass(frozen=True)
class Comparison:
    """One output of one run.

    Attributes:
        function: that was run.
        output: name of the tensor.
        shapes: of the inputs.
        difference: the largest of all values; infinite for another shape, NaN where an answer is NaN.
        tolerance: largest allowed difference.
    """

    function: str
    output: str
    shapes: tuple[tuple[int, ...], ...]
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the answer is close enough; NaN is not."""
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class Report:
    """What was compared.

    Attributes:
        runtime: that ran the artefact.
        precision: it computed in.
        comparisons: of all outputs.
    """

    runtime: str
    precision: str
    comparisons: tuple[Comparison, ...]

    @property
    def passed(self) -> bool:
        """Whether the artefact answers as the model does."""
        return all(comparison.passed for comparison in self.comparisons)

    @property
    def worst(self) -> Comparison:
        """The output that is farthest from the model's, in tolerances."""
        # a NaN counts as farthest
        return max(self.comparisons, key=lambda c: np.nan_to_num(c.difference / c.tolerance, nan=np.inf))


def verify(artefact: Path, reference: Reference, options: LoadOptions | None = None) -> Report:
    """Runs every function of an artefact with small examples of two sizes and compares the answers.

    Args:
        artefact: of any format that a runtime opens.
        reference: the model.
        options: runtime and precision; fp32 in the first runtime that opens the artefact when None.

    Raises:
        InputError: the artefact cannot be opened.
        UnavailableError: no runtime is at hand for it.
    """
    runtime = open_runtime(Artefact(artefact), options or LoadOptions(precision="fp32"))
    rows: list[Comparison] = []
    for function, signature in reference.signatures.items():
        seen = set()
        for seed, which in enumerate(TESTED):
            shapes = choose_shapes(signature, which, multiple=reference.manifest.multiple)
            # one shape where all axes are fixed
            if shapes in seen:
                continue
            seen.add(shapes)
            tensors = make_examples(signature, shapes, seed=seed)
            expected = reference.run(function, tensors)
            got = runtime.run(function, tensors)
            rows += [
                Comparison(
                    function,
                    name,
                    shapes,
                    measure_difference(got[name], wanted),
                    find_tolerance(wanted, runtime.precision),
                )
                for name, wanted in expected.items()
            ]
    return Report(runtime.name, runtime.precision, tuple(rows))


def measure_difference(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference of two arrays; infinite for other shapes, NaN where one holds NaN."""
    if got.shape != expected.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):
        return float(np.abs(got - expected).max())
