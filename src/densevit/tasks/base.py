"""What every task declares: the tensors of its functions, once for runtimes, exporters and the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError
from densevit.imaging import ImageSource, Placement, SizePolicy

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a function; a string in the shape names a dynamic axis."""

    name: str
    dtype: Literal["uint8", "float32"]
    shape: tuple[int | str, ...]

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


Result = TypeVar("Result", covariant=True)


class Task(Protocol[Result]):
    """Pre- and postprocessing of a model: an image becomes tensors, tensors become a typed result."""

    size: SizePolicy  # the working size
    memory_advice: ClassVar[str]  # what to do where memory runs out, for the end of a message

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The functions that a runtime must offer, by name; the first one takes the image."""
        ...

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[dict[str, NDArray[Any]], Placement]:
        """(H, W, 3) uint8 RGB -> inputs of the first function, and where the image is in them."""
        ...

    def postprocess(self, raw: Arrays, placement: Placement, image: NDArray[np.uint8] | None = None) -> Result:
        """Outputs -> result at the image's own size; it keeps `image`, if given, to draw on."""
        ...


@runtime_checkable
class PiecewiseTask(Protocol[Result]):
    """A task that reads more than the colors of an image, and may run its network several times."""

    def read(self, source: ImageSource, *, max_pixels: int) -> Any:
        """An image as this task needs it.

        Raises:
            ImageError: it cannot be read.
        """
        ...

    def answer(self, image: Any, run: Callable[[Arrays], Arrays]) -> Result:
        """An image from `read` -> result; `run` is the first function of a runtime."""
        ...
