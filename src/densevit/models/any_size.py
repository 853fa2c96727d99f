"""Operations that depend on a map's size, written so that a graph traced at one size serves all sizes.

Tracing with symbolic sizes costs three times as much and gives the same graph. So sizes are traced as numbers,
and where one would be baked in, the ONNX operators are named here: their shapes are read from the tensors at
run time. Nothing else in the models depends on sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.nn import functional as F

OPSET = 18
"""Of the operators named here; the exporter may raise it."""

_with_onnx_operators: ContextVar[bool] = ContextVar("_with_onnx_operators", default=False)


@contextmanager
def use_onnx_operators() -> Iterator[None]:
    """What is traced in this block names ONNX operators, and can become an ONNX file only."""
    token = _with_onnx_operators.set(True)
    try:
        yield
    finally:
        _with_onnx_operators.reset(token)


def to_tokens(x: Tensor, groups: int) -> Tensor:
    """(B, groups * d, h, w) -> (B, groups, d, h * w)."""
    batch, channels, height, width = x.shape
    if not _with_onnx_operators.get():
        return x.reshape(batch, groups, channels // groups, height * width)
    shape = torch.tensor([0, groups, channels // groups, -1])
    return _operator("Reshape", (x, shape), like=x, shape=(batch, groups, channels // groups, height * width))


def to_map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, groups, d, h * w) -> (B, groups * d, h, w), of the height and width of `like`, (B, ?, h, w)."""
    batch, groups, dimensions, _ = tokens.shape
    height, width = like.shape[-2:]
    channels = groups * dimensions
    if not _with_onnx_operators.get():
        return tokens.reshape(batch, channels, height, width)
    sides = _sides(like)
    shape = _operator("Concat", (torch.tensor([0, channels]), sides), like=sides, shape=(4,), axis=0)
    return _operator("Reshape", (tokens, shape), like=tokens, shape=(batch, channels, height, width))


def reshape_dynamic(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`x.reshape(shape)` with a side that follows the batch, where a tracer would write down the example's.

    Args:
        x: any tensor.
        shape: with exactly one -1.
    """
    if not _with_onnx_operators.get():
        return x.reshape(shape)
    return _operator("Reshape", (x, torch.tensor(shape)), like=x, shape=tuple(x.reshape(shape).shape))


def resize_bicubic(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, H, W) of `like`: bicubic with a = -0.75 and half-pixel centers, no antialiasing."""
    if not _with_onnx_operators.get():
        return F.interpolate(x, size=like.shape[-2:], mode="bicubic", align_corners=False)
    return _resize(x, like, "cubic", cubic_coeff_a=-0.75, nearest_mode="floor")


def resize_bilinear(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, H, W) of `like`: bilinear with half-pixel centers, no antialiasing."""
    if not _with_onnx_operators.get():
        return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
    return _resize(x, like, "linear")


def _resize(x: Tensor, like: Tensor, mode: str, **attributes: str | float) -> Tensor:
    batch, channels = x.shape[:2]
    first = _operator("Shape", (x,), like=torch.empty(0, dtype=torch.int64), shape=(2,), start=0, end=2)
    sizes = _operator("Concat", (first, _sides(like)), like=first, shape=(4,), axis=0)
    return torch.onnx.ops.symbolic(
        "Resize",
        (x, None, None, sizes),
        {"mode": mode, "coordinate_transformation_mode": "pytorch_half_pixel", **attributes},
        dtype=x.dtype,
        shape=(batch, channels, *like.shape[-2:]),
        version=OPSET,
    )


def to_pixels(x: Tensor, scale: int, *, channels_last: bool = False) -> Tensor:
    """(B, C * scale ** 2, h, w) -> (B, C, h * scale, w * scale): channels become squares of pixels.

    Args:
        x: C colors of scale x scale pixels each, row by row.
        scale: side of the squares.
        channels_last: scale x scale pixels of C colors each instead.
    """
    batch, depth, height, width = x.shape
    channels = depth // scale**2
    if _with_onnx_operators.get():
        shape = (batch, channels, height * scale, width * scale)
        mode = "DCR" if channels_last else "CRD"
        return _operator("DepthToSpace", (x,), like=x, shape=shape, blocksize=scale, mode=mode)
    if channels_last:
        x = x.reshape(batch, scale**2, channels, height, width).transpose(1, 2).reshape(x.shape)
    return F.pixel_shuffle(x, scale)


def _sides(x: Tensor) -> Tensor:
    return _operator("Shape", (x,), like=torch.empty(0, dtype=torch.int64), shape=(2,), start=2, end=4)


def _operator(
    name: str, inputs: tuple[Tensor, ...], *, like: Tensor, shape: tuple[int, ...], **attributes: int | str
) -> Tensor:
    return torch.onnx.ops.symbolic(name, inputs, {**attributes}, dtype=like.dtype, shape=shape, version=OPSET)
