"""The kinds of resizing that published preprocessings use. They differ, so each has its own name."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from densevit.imaging.types import Size, check_image

ResizeKind = Literal["cv2_cubic", "pil_bilinear", "pil_bicubic", "matlab_bicubic"]

_STRIP_PIXELS = 1 << 18  # float32 pixels that the resampler holds at a time: about the size of a processor's cache


def resize(image: NDArray[np.uint8], size: Size, kind: ResizeKind) -> NDArray[np.uint8]:
    """Resize a (H, W, 3) or (H, W) uint8 image to `size`; an image of that size is returned as it is.

    cv2_cubic       OpenCV's INTER_CUBIC: a = -0.75, no antialiasing, borders repeated
    pil_bilinear    Pillow's BILINEAR: antialiased
    pil_bicubic     Pillow's BICUBIC: a = -0.5, antialiased
    matlab_bicubic  MATLAB's imresize: a = -0.5, antialiased, borders mirrored, 8 bits between the two passes

    Raises ValueError for another image, size or kind.
    """
    check_image(image)
    if kind not in get_args(ResizeKind):
        raise ValueError(f"kind: got {kind!r}; allowed: {', '.join(get_args(ResizeKind))}")
    if min(size) < 1:
        raise ValueError(f"size: got {size}; allowed: at least 1 x 1 px")
    if Size.of(image) == size:
        return image
    if kind in ("cv2_cubic", "matlab_bicubic"):
        return _resample(image, size, like_matlab=kind == "matlab_bicubic")

    from PIL import Image

    resampling = Image.Resampling[kind.removeprefix("pil_").upper()]
    return np.array(Image.fromarray(image).resize((size.width, size.height), resampling))


class _Taps(NamedTuple):
    """Which input positions make an output position, and how much of each: two (outputs, taps) arrays."""

    positions: NDArray[np.intp]
    weights: NDArray[np.float32]


def _compute_taps(inputs: int, outputs: int, *, like_matlab: bool) -> _Taps:
    """Taps along one axis, with pixel centers at half positions."""
    stretch = max(1.0, inputs / outputs) if like_matlab else 1.0  # antialiasing widens the kernel
    reach = 2 * stretch
    centers = (np.arange(outputs) + 0.5) * (inputs / outputs) - 0.5
    first = np.floor(centers - reach).astype(np.intp)
    positions = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    weights = cubic((centers[:, None] - positions) / stretch, a=-0.5 if like_matlab else -0.75)
    weights /= weights.sum(axis=1, keepdims=True)
    used = weights.any(axis=0)
    if like_matlab:
        positions %= 2 * inputs
        positions = np.minimum(positions, 2 * inputs - 1 - positions)
    else:
        positions = positions.clip(0, inputs - 1)
    return _Taps(positions[:, used], weights[:, used].astype(np.float32))


def cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """The kernel of bicubic interpolation, at distances in pixels.

    Keys (1981), Cubic convolution interpolation, equation 15 (there with a = -1/2).
    """
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _resample(image: NDArray[np.uint8], size: Size, *, like_matlab: bool) -> NDArray[np.uint8]:
    before = Size.of(image)
    rows = _compute_taps(before.height, size.height, like_matlab=like_matlab)
    columns = _compute_taps(before.width, size.width, like_matlab=like_matlab)
    # The axis that shrinks more goes first: less work, and the order in which MATLAB rounds.
    rows_first = size.height * before.width <= size.width * before.height
    resized = np.empty((*size, *image.shape[2:]), np.uint8)

    inputs_per_output = max(1.0, before.height / size.height)
    strip_rows = max(1, int(_STRIP_PIXELS / (max(before.width, size.width) * inputs_per_output)))
    for top in range(0, size.height, strip_rows):
        strip = slice(top, top + strip_rows)
        first = int(rows.positions[strip].min())
        last = int(rows.positions[strip].max())
        strip_taps = _Taps(rows.positions[strip] - first, rows.weights[strip])
        passes = ((strip_taps, 0), (columns, 1))
        pixels: NDArray[Any] = image[first : last + 1]
        for taps, axis in passes if rows_first else reversed(passes):
            pixels = _sum_taps(pixels, taps, axis)
            pixels = _round(pixels) if like_matlab else pixels
        resized[strip] = pixels if like_matlab else _round(pixels)
    return resized


def _sum_taps(pixels: NDArray[Any], taps: _Taps, axis: int) -> NDArray[np.float32]:
    along_axis = (-1, *(1,) * (pixels.ndim - 1 - axis))
    shape = (*pixels.shape[:axis], len(taps.positions), *pixels.shape[axis + 1 :])
    total = np.zeros(shape, np.float32)
    for positions, weights in zip(taps.positions.T, taps.weights.T, strict=True):
        total += pixels.take(positions, axis) * weights.reshape(along_axis)
    return total


def _round(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (pixels + 0.5).clip(0, 255).astype(np.uint8)
