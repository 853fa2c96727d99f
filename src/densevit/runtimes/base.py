"""What every runtime offers: named functions, numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")


class RuntimeUnavailableError(ValueError):
    """A runtime, device or precision is not to be had here; the message says what to install or choose."""


class RuntimeFailedError(RuntimeError):
    """A runtime gave up on an input it should have taken, most often for want of memory."""


class Runtime(Protocol):
    """Runs the functions of one model."""

    name: str
    precision: Precision
    device: str

    def run(self, function: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs a function by name.

        Args:
            function: a key of the task's signatures.
            tensors: inputs by name, as the signature says.

        Returns:
            Outputs by name; they belong to the caller.

        Raises:
            ValueError: no such function, or inputs that do not fit.
            RuntimeFailedError: the runtime gave up, most often for want of memory.
        """
        ...
