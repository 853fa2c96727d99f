"""What every task declares: the tensors of its functions, once for runtimes, exporters and the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError
from densevit.imaging import ImageSource, SizePolicy

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
"""Tensors by name."""
Run: TypeAlias = Callable[[str, Arrays], Arrays]
"""A runtime's function: (name of a function, its inputs) -> its outputs."""


@dataclass(frozen=True)
class Example:
    """How examples of an input are drawn, see `densevit.tasks.examples`.

    Attributes:
        kind: an image (uint8, or float32 in about -2..2), numbers or whole numbers between `low` and `high`, the
            normal distribution, or `low` everywhere.
        low: the smallest value.
        high: above the largest value.
    """

    kind: Literal["image", "uniform", "whole", "normal", "constant"] = "normal"
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a function; a string in the shape names a dynamic axis.

    The axes "height" and "width" of an image are multiples of the model's `multiple`.
    """

    name: str
    dtype: Literal["uint8", "float32"]
    shape: tuple[int | str, ...]
    example: Example = Example()

    def check(self, array: NDArray[Any]) -> None:
        """Refuses an array of another type or shape.

        Raises:
            ValueError: states the expected type and shape, and those of the array.
        """
        fits = array.ndim == len(self.shape) and all(
            isinstance(axis, str) or axis == side for axis, side in zip(self.shape, array.shape, strict=True)
        )
        if array.dtype != np.dtype(self.dtype) or not fits:
            raise ValueError(f"{self.name} must be {self.dtype} {self.shape}, got {array.dtype} {array.shape}")


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of one function of a model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def check_inputs(self, tensors: Arrays) -> None:
        """Refuses missing or wrong inputs.

        Raises:
            ValueError: names the input.
        """
        for spec in self.inputs:
            if spec.name not in tensors:
                raise ValueError(f"input {spec.name!r} is missing, got {sorted(tensors)}")
            spec.check(tensors[spec.name])


def graph_name(function: str, tensor: str, signatures: Mapping[str, Signature]) -> str:
    """Name of a function's tensor in an ONNX file: all functions but the first put their own name in front."""
    return tensor if function == next(iter(signatures)) else f"{function}.{tensor}"


SMALLER_SIZE = "use a smaller size (--size, size=)"
"""What helps where the network takes an image at a size that the user can choose."""


def check_finite(output: NDArray[np.float32]) -> None:
    """Refuses a network's output that holds NaN or infinity.

    Raises:
        InputError: says what to do.
    """
    # both show in the extremes, and no temporary array is needed
    if output.size and not (np.isfinite(output.min()) and np.isfinite(output.max())):
        raise InputError(
            "the network's output is not finite for this image; use precision fp32, or check the weights"
        )


class BatchError(InputError):
    """One image of a batch has no answer.

    Attributes:
        index: of the image.
    """

    def __init__(self, index: int, reason: InputError) -> None:
        super().__init__(str(reason))
        self.index = index


Result = TypeVar("Result")


class Task(Protocol[Result]):
    """How a model answers: from an image to what the network takes, and from its outputs to a typed result.

    A task whose network is called once per image inherits `densevit.tasks.one_call.OneCallTask`.
    """

    @property
    def size(self) -> SizePolicy:
        """The working size."""
        ...

    @property
    def memory_advice(self) -> str:
        """What to do where memory runs out, for the end of a message."""
        ...

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The functions that a runtime must offer, by name; the first one takes the image."""
        ...

    def read(self, source: ImageSource, *, max_pixels: int) -> Any:
        """What the task needs of an image; may run in another thread, while the network runs.

        Raises:
            ImageError: it cannot be read or used.
        """
        ...

    def answer(self, image: Any, run: Run) -> Result:
        """What `read` gave -> the result at the image's own size.

        Args:
            image: from `read`.
            run: runs a function of the model; may be called any number of times.

        Raises:
            InputError: the network's output for this image is not finite.
        """
        ...

    def answer_batch(self, images: Sequence[Any], run: Run) -> list[Result]:
        """The results of several images, for which the network is called once.

        Raises:
            UsageError: working sizes that differ, or a task that cannot do it.
            BatchError: one of the images has no answer.
        """
        ...
