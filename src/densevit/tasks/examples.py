"""Example inputs for a model's functions, the same on every machine: for tests of graphs, and golden pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.tasks.base import Signature, TensorSpec

IMAGE_AXES = ("batch", "height", "width")
_SIDES = ("height", "width")
_SIZES = {
    "batch": (2, 1, 1),
    "height": (3, 4, 6),
    "width": (5, 7, 3),
    "prompts": (4, 3, 1),
    "points": (3, 2, 5),
}
_OTHER_AXIS = (3, 2, 4)
TRACED, *TESTED = range(3)
"""Which of the sizes of a dynamic axis a network is traced with, and with which others it is then tested."""


def fill_shape(spec: TensorSpec, sizes: Mapping[str, int], *, multiple: int) -> tuple[int, ...]:
    """A tensor's shape with numbers for its dynamic axes.

    Args:
        spec: of the tensor.
        sizes: by the name of the axis; "height" and "width" count in multiples.
        multiple: in pixels, of the model's manifest.
    """
    return tuple(
        axis if isinstance(axis, int) else sizes[axis] * (multiple if axis in _SIDES else 1) for axis in spec.shape
    )


def choose_shapes(signature: Signature, which: int, *, multiple: int) -> tuple[tuple[int, ...], ...]:
    """Small shapes of a function's inputs.

    Args:
        signature: of the function.
        which: `TRACED`, or one of `TESTED`, whose sizes differ from those.
        multiple: in pixels, of the model's manifest.
    """
    axes = {axis for spec in signature.inputs for axis in spec.shape if isinstance(axis, str)}
    sizes = {axis: _SIZES.get(axis, _OTHER_AXIS)[which] for axis in axes}
    return tuple(fill_shape(spec, sizes, multiple=multiple) for spec in signature.inputs)


def make_examples(
    signature: Signature, shapes: tuple[tuple[int, ...], ...], *, seed: int
) -> dict[str, NDArray[Any]]:
    """Inputs of a function by name; `shapes` are in the order of the signature."""
    specs = zip(signature.inputs, shapes, strict=True)
    return {spec.name: make_example(spec, shape, seed=seed) for spec, shape in specs}


def make_example(spec: TensorSpec, shape: tuple[int, ...], *, seed: int) -> NDArray[Any]:
    """One input, as its `example` says.

    Args:
        spec: of the tensor. An image is uint8 (B, H, W, C), or float32 (B, C, H, W) in -2..2.
        shape: of the result.
        seed: equal seeds give equal values on every machine.
    """
    generator = np.random.default_rng(seed)
    example = spec.example
    match example.kind:
        case "image" if spec.dtype == "uint8":
            batch, height, width, channels = shape
            return np.concatenate([_make_image(height, width, channels, seed + index) for index in range(batch)])
        case "image":
            batch, channels, height, width = shape
            images = [_make_image(height, width, channels, seed + index) for index in range(batch)]
            normalized = np.concatenate(images).transpose(0, 3, 1, 2).astype(np.float32) / 64 - 2
            return np.ascontiguousarray(normalized)
        case "uniform":
            values: NDArray[Any] = generator.uniform(example.low, example.high, shape)
        case "whole":
            values = generator.integers(int(example.low), int(example.high), shape)
        case "normal":
            values = generator.normal(size=shape)
        case "constant":
            values = np.full(shape, example.low)
    return values.astype(spec.dtype)


def _make_image(height: int, width: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """(1, H, W, C): smooth structure with noise, and a black part, where the attention's sums can vanish."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (-(-height // 16), -(-width // 16), channels))
    smooth = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    image = smooth + generator.normal(0, 8, (height, width, channels))
    image[: height // 4] = 0
    return image.clip(0, 255).astype(np.uint8)[None]
