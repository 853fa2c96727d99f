"""What every task states about itself: its functions' tensors, once, for all who run or write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from densevit.imaging import ImageSource, Placement, SizePolicy

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """A tensor by name; a text in the shape names a dynamic axis."""

    name: str
    dtype: Literal["uint8", "float32"]
    shape: tuple[int | str, ...]

    def check(self, array: NDArray[Any]) -> None:
        """Refuses an array of another type or shape.

        Raises:
            ValueError: says what was expected and what came.
        """
        fits = array.ndim == len(self.shape) and all(
            isinstance(axis, str) or axis == side for axis, side in zip(self.shape, array.shape, strict=True)
        )
        if array.dtype != np.dtype(self.dtype) or not fits:
            raise ValueError(f"{self.name} must be {self.dtype} {self.shape}, got {array.dtype} {array.shape}")


@dataclass(frozen=True)
class Signature:
    """One function of a model: what goes in, what comes out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def check_inputs(self, tensors: Arrays) -> None:
        """Refuses missing or wrong inputs.

        Raises:
            ValueError: says which.
        """
        for spec in self.inputs:
            if spec.name not in tensors:
                raise ValueError(f"input {spec.name!r} is missing, got {sorted(tensors)}")
            spec.check(tensors[spec.name])


def graph_name(function: str, tensor: str, signatures: Mapping[str, Signature]) -> str:
    """What a function's tensor is called in a graph file: functions behind the first say whose it is."""
    return tensor if function == next(iter(signatures)) else f"{function}.{tensor}"


Result = TypeVar("Result", covariant=True)


class Task(Protocol[Result]):
    """The numpy side of a model: an image becomes tensors, tensors become a typed result."""

    size: SizePolicy  # at which size the network works

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The functions that a runtime must offer, by name; the first is the one that takes an image."""
        ...

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[dict[str, NDArray[Any]], Placement]:
        """(H, W, 3) uint8 RGB -> inputs of the first function, and how the image lies in them."""
        ...

    def postprocess(self, raw: Arrays, placement: Placement, image: NDArray[np.uint8] | None = None) -> Result:
        """Outputs -> result at the image's own size; it keeps the image to draw on where one is given."""
        ...


@runtime_checkable
class PiecewiseTask(Protocol[Result]):
    """A task that reads more of an image than its colors, and runs its network as often as it needs to."""

    def read(self, source: ImageSource, *, max_pixels: int) -> Any:
        """An image as this task needs it.

        Raises:
            ImageError: it cannot be read.
        """
        ...

    def answer(self, image: Any, run: Callable[[Arrays], Arrays]) -> Result:
        """What `read` gave -> result; `run` is the first function of a runtime."""
        ...
