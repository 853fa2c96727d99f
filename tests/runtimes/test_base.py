"""A runtime refuses what does not fit its signature, and takes read-only arrays."""

import numpy as np
import openvino as ov
import pytest
import torch
from torch import nn

from densevit.core.errors import UnavailableError
from densevit.runtimes.base import OutOfMemoryError, recognize_out_of_memory
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


# --- out of memory


# what the libraries write: PyTorch on a CPU, on CUDA, on MPS, in cuBLAS; OpenVINO and oneDNN
@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 140737488355328 bytes. Error code 12 (Cannot allocate memory)",
        "[enforce fail at alloc_cpu.cpp:73] . DefaultCPUAllocator: not enough memory: you tried to allocate 9 B.",
        "CUDA out of memory. Tried to allocate 20.00 GiB.",
        "MPS backend out of memory (MPS allocated: 1.00 GB)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "Exception from src/inference/src/cpp/infer_request.cpp:223:\nstd::bad_alloc\n",
        "Check 'ptr' failed at src/core/src/runtime/tensor.cpp:1:\nCannot allocate memory",
        "could not create a memory object",
    ],
)
def test_memory_that_does_not_suffice_is_recognized(text):
    with (
        pytest.raises(OutOfMemoryError, match=r"Library ran out of memory on \(1, 3, 8, 8\), \(2,\) \(") as caught,
        recognize_out_of_memory("Library", [(1, 3, 8, 8), (2,)]),
    ):
        raise RuntimeError(text)
    assert isinstance(caught.value, UnavailableError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), MemoryError("x")])
def test_exceptions_for_memory_are_recognized(error):
    with pytest.raises(OutOfMemoryError), recognize_out_of_memory("Library", [(1,)]):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        RuntimeError("Memory descriptor is not valid"),
        ValueError("out of memory"),
        KeyError("out of memory"),
    ],
)
def test_any_other_failure_keeps_its_type(error):
    with pytest.raises(type(error)) as caught, recognize_out_of_memory("Library", [(1,)]):
        raise error
    assert caught.value is error


class Greedy(nn.Module):
    """Asks for more memory than any machine has."""

    def forward(self, x):
        return torch.empty(2**45) + x.sum()


class Broken(nn.Module):
    """Has a bug."""

    def forward(self, x):
        return x + torch.zeros(7)


def test_pytorch_without_memory_and_with_a_bug():
    image = {"image": tiny.image(64, 96)[None]}
    with pytest.raises(OutOfMemoryError, match=r"PyTorch ran out of memory on \(1, 64, 96, 3\)"):
        EagerRuntime(Greedy(), tiny.manifest(), device="cpu").run("forward", image)
    with pytest.raises(RuntimeError, match="must match the size"):
        EagerRuntime(Broken(), tiny.manifest(), device="cpu").run("forward", image)


@pytest.mark.parametrize(
    ("text", "kind"), [("std::bad_alloc", OutOfMemoryError), ("unsupported operation", RuntimeError)]
)
def test_openvino_without_memory_and_with_a_bug(monkeypatch, text, kind):
    def compile_model(*_arguments):
        raise RuntimeError(text)

    monkeypatch.setattr(ov.Core, "compile_model", compile_model)
    with pytest.raises(kind, match=text) as caught:
        OpenVINORuntime(tiny.graph()).run("forward", {"image": tiny.image(64, 96)[None]})
    assert type(caught.value) is kind
