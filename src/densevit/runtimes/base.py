"""What every runtime offers: named functions, numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from densevit.core.errors import InputError, UnavailableError, UsageError
from densevit.core.manifest import Manifest
from densevit.core.messages import first_line
from densevit.tasks.base import Signature

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")


_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate",
    "cannot allocate",
    "can not allocate",
    "could not allocate",
    "failed to allocate",
    "alloc_failed",
    "bad_alloc",
    "bad allocation",
    "could not create a memory object",
)
"""What PyTorch, CUDA, MPS, oneDNN and OpenVINO write, in lower case; not all of them have an exception for it."""


class GraphFileError(InputError):
    """A graph file is missing, damaged, or not one of this project."""


class OutOfMemoryError(UnavailableError):
    """The device's memory does not suffice for an input."""


@contextmanager
def recognize_out_of_memory(library: str, shapes: Iterable[tuple[int, ...]]) -> Iterator[None]:
    """Turns a library's complaint about memory into `OutOfMemoryError`; any other error passes unchanged.

    Args:
        library: its name, for the message.
        shapes: of the inputs, for the message.

    Raises:
        OutOfMemoryError: the library could not allocate memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if not isinstance(error, MemoryError) and not any(words in text for words in _OUT_OF_MEMORY):
            raise
        inputs = ", ".join(map(str, shapes))
        raise OutOfMemoryError(f"{library} ran out of memory on {inputs} ({first_line(error)})") from error


def choose_precision(asked: str, manifest: Manifest, supports: Callable[[Precision], bool]) -> Precision:
    """The precision to compute in.

    Args:
        asked: "auto" or a precision; "auto" is bf16 where it is native and the manifest lists it as verified,
            fp32 otherwise.
        manifest: of the model.
        supports: whether the device computes natively in a precision.

    Raises:
        UsageError: not a precision.
        UnavailableError: the device does not compute in it.
    """
    if asked == "auto":
        return "bf16" if "bf16" in manifest.verified_precisions and supports("bf16") else "fp32"
    for precision in PRECISIONS:
        if asked == precision:
            if precision != "fp32" and not supports(precision):
                raise UnavailableError(f"this device does not compute in {precision}; use precision fp32")
            return precision
    raise UsageError(f"precision must be auto or one of {', '.join(PRECISIONS)}, got {asked!r}")


def check_inputs(signatures: Mapping[str, Signature], function: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Refuses what a task's signatures do not allow, the same for every runtime.

    Raises:
        ValueError: no such function, or inputs that do not fit it: a bug of the caller.
    """
    if function not in signatures:
        raise ValueError(f"this model has the functions {', '.join(signatures)}; got {function!r}")
    signatures[function].check_inputs(tensors)


class Runtime(Protocol):
    """Runs the functions of one model."""

    name: str
    precision: Precision
    device: str
    manifest: Manifest

    def run(self, function: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs a function by name.

        Args:
            function: a key of the task's signatures.
            tensors: inputs by name, as the signature says.

        Returns:
            Outputs by name; they belong to the caller.

        Raises:
            ValueError: no such function, or inputs that do not fit it: a bug of the caller.
            OutOfMemoryError: the device's memory does not suffice.
        """
        ...
