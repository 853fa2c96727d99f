"""Any artefact against its model: what is compared, and what does not pass."""

import numpy as np
import pytest

from densevit.export.verify import Comparison, Report, measure_difference, verify
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.tasks.table import make_task
from helpers import tiny


class Shifted:
    """The tiny model with something added to its answers."""

    manifest = tiny.manifest()
    signatures = make_task(tiny.manifest()).signatures

    def __init__(self, added: float) -> None:
        self._runtime = OpenVINORuntime(tiny.graph(), precision="fp32", threads=1)
        self._added = added

    def run(self, function, tensors):
        return {
            name: value + np.float32(self._added) for name, value in self._runtime.run(function, tensors).items()
        }


@pytest.mark.parametrize(("added", "passed"), [(0.0, True), (1e-4, True), (0.01, False), (np.nan, False)])
def test_a_runtime_may_be_the_reference(added, passed):
    report = verify(tiny.graph(), Shifted(added))
    assert report.passed is passed
    assert (report.runtime, report.precision) == ("openvino", "fp32")
    # two sizes, one output
    assert len(report.comparisons) == 2


def test_differences():
    assert measure_difference(np.zeros(3), np.ones(3)) == 1
    assert measure_difference(np.zeros(3), np.ones(4)) == float("inf")
    assert np.isnan(measure_difference(np.array([np.nan, 0]), np.zeros(2)))


def test_nan_is_the_worst():
    rows = [Comparison("f", str(value), (), value, 1.0) for value in (0.1, float("nan"), 2.0)]
    assert Report("r", "fp32", tuple(rows)).worst.output == "nan"
