"""A runtime refuses what does not fit its signature, and takes read-only arrays."""

import numpy as np
import pytest

from densevit.runtimes.eager import EagerRuntime
from densevit.runtimes.openvino import OpenVINORuntime
from helpers import tiny


def make(name, precision):
    if name == "eager":
        return EagerRuntime(*tiny.stored(), device="cpu", precision=precision)
    return OpenVINORuntime(tiny.graph(), precision=precision, threads=1)


@pytest.mark.parametrize("name", ["eager", "openvino"])
@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((32, 32, 3), np.uint8), r"32, 32, 3"),
        (np.zeros((1, 32, 32, 4), np.uint8), r"32, 32, 4"),
        (np.zeros((1, 3, 32, 32), np.uint8), r"3, 32, 32"),
        (np.zeros((1, 32, 32, 3), np.float32), "float32"),
        (np.zeros((1, 32, 32, 3), np.int64), "int64"),
    ],
)
def test_wrong_inputs_are_refused_by_name(name, array, message):
    with pytest.raises(ValueError, match=message):
        make(name, "fp32").run("forward", {"image": array})


@pytest.mark.parametrize("name", ["eager", "openvino"])
def test_read_only_arrays(name):
    image = tiny.image(64, 96)[None]
    image.setflags(write=False)
    make(name, "fp32").run("forward", {"image": image})
