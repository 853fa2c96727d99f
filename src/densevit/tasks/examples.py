"""Example inputs for a model's functions, the same on every machine: for tests of graphs, and golden pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.tasks.base import Signature, TensorSpec

_SIDES = ("height", "width")


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


def make_examples(
    signature: Signature, shapes: tuple[tuple[int, ...], ...], *, seed: int
) -> dict[str, NDArray[Any]]:
    """Inputs of a function by name; `shapes` are in the order of the signature."""
    specs = zip(signature.inputs, shapes, strict=True)
    return {spec.name: make_example(spec, shape, seed=seed) for spec, shape in specs}


def make_example(spec: TensorSpec, shape: tuple[int, ...], *, seed: int) -> NDArray[Any]:
    """One input: images for images, prompts for prompts, noise for anything else.

    Args:
        spec: tells by name and type what the tensor is: an image is uint8 (B, H, W, C), or float32 (B, C, H, W)
            in -2..2.
        shape: of the result.
        seed: equal seeds give equal values on every machine.
    """
    generator = np.random.default_rng(seed)
    if spec.dtype == "uint8":
        batch, height, width, channels = shape
        return np.concatenate([_make_image(height, width, channels, seed + index) for index in range(batch)])
    match spec.name:
        case "image":
            batch, channels, height, width = shape
            images = [_make_image(height, width, channels, seed + index) for index in range(batch)]
            normalized = np.concatenate(images).transpose(0, 3, 1, 2).astype(np.float32) / 64 - 2
            return np.ascontiguousarray(normalized)
        case "points":
            return generator.uniform(0, 1024, shape).astype(np.float32)
        case "labels":
            return generator.integers(-1, 4, shape).astype(np.float32)
        case "least_score":
            # about half of the scores of a model with random weights are below
            return np.zeros(shape, np.float32)
        case _:
            return generator.normal(size=shape).astype(np.float32)


def _make_image(height: int, width: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """(1, H, W, C): smooth structure with noise, and a black part, where the attention's sums can vanish."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (-(-height // 16), -(-width // 16), channels))
    smooth = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    image = smooth + generator.normal(0, 8, (height, width, channels))
    image[: height // 4] = 0
    return image.clip(0, 255).astype(np.uint8)[None]
