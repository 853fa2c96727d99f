"""Golden pairs: a file holds an input and its answer, so that a device can be checked without the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError
from densevit.core.manifest import GoldenOutput, GoldenPair, Manifest, ManifestError
from densevit.core.manifest_checks import MAX_GOLDEN_VALUES
from densevit.runtimes.base import Runtime
from densevit.tasks.base import Signature
from densevit.tasks.examples import make_examples
from densevit.tasks.table import make_task


@dataclass(frozen=True)
class GoldenComparison:
    """How far a runtime's answers are from those of the file's golden pair.

    Attributes:
        function: that was run.
        difference: the largest of all values; infinite for other shapes, NaN where an answer is NaN.
        tolerance: what the pair allows.
    """

    function: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the runtime answers as the model did; NaN does not pass."""
        return self.difference <= self.tolerance


def compare_with_golden(runtime: Runtime, manifest: Manifest) -> GoldenComparison:
    """Runs the input of a golden pair and compares the answers.

    Args:
        runtime: to be checked; the tolerance holds for fp32.
        manifest: with a golden pair.

    Raises:
        ManifestError: the pair does not fit the model's functions.
        InputError: the manifest has no golden pair.
    """
    golden = manifest.golden
    if golden is None:
        raise InputError(f"{manifest.name}: this file has no golden pair; export it again with densevit")
    signature = make_task(manifest).signatures.get(golden.function)
    if signature is None or not _fits(golden, signature):
        raise ManifestError(f"{manifest.name}: its golden pair does not fit the model; export it again")
    answers = runtime.run(golden.function, make_examples(signature, golden.shapes, seed=golden.seed))
    differences = [_measure_difference(answers[name], output) for name, output in golden.outputs.items()]
    # unlike max(), keeps a NaN wherever it stands
    return GoldenComparison(golden.function, float(np.max(differences)), golden.tolerance)


def record_golden(
    function: str,
    shapes: tuple[tuple[int, ...], ...],
    answers: Mapping[str, NDArray[Any]],
    *,
    seed: int,
    tolerance: float,
) -> GoldenPair:
    """The golden pair of a model's answers.

    Args:
        function: that was run.
        shapes: of its inputs, in the order of the signature.
        answers: to `make_examples(signature, shapes, seed=seed)`, by name.
        seed: of the inputs.
        tolerance: largest difference of a value.
    """
    outputs = {
        name: GoldenOutput(tuple(array.shape), tuple(_to_decimal(value) for value in _sample(array)))
        for name, array in answers.items()
    }
    return GoldenPair(function, seed, shapes, outputs, tolerance)


def _fits(golden: GoldenPair, signature: Signature) -> bool:
    fits = len(golden.shapes) == len(signature.inputs) and golden.outputs.keys() <= {
        spec.name for spec in signature.outputs
    }
    return fits and all(
        len(shape) == len(spec.shape)
        and all(isinstance(axis, str) or axis == side for axis, side in zip(spec.shape, shape, strict=True))
        for shape, spec in zip(golden.shapes, signature.inputs, strict=True)
    )


def _sample(array: NDArray[Any]) -> NDArray[Any]:
    """Up to `MAX_GOLDEN_VALUES` evenly spaced values in C order, the first and the last among them."""
    values = array.reshape(-1)
    places = np.linspace(0, values.size - 1, min(MAX_GOLDEN_VALUES, values.size))
    return values[places.round().astype(np.int64)]


def _to_decimal(value: np.float32) -> float:
    """The shortest decimal that gives this float32 again."""
    return float(str(np.float32(value)))


def _measure_difference(answer: NDArray[Any], expected: GoldenOutput) -> float:
    if answer.shape != expected.shape:
        return float("inf")
    return float(np.abs(_sample(answer) - np.array(expected.values, np.float32)).max())
