"""Fit an image into a network's input, and the exact way back."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from densevit.core.errors import UsageError
from densevit.imaging.resampling import ResizeKind, resize
from densevit.imaging.types import DEFAULT_MAX_PIXELS, ImageError, Size, check_image

Padding = Literal["edge", "zero"]

MAX_SIDE_PX = 16_384  # of a size policy


@dataclass(frozen=True)
class SizePolicy:
    """The size at which a model works: `native`, `short:S`, `long:S`, `exact:HxW` or `short:S/M`, in pixels.

    `short` and `long` set the shorter or longer side and keep the aspect ratio. With `/M` the other side is
    rounded up to a multiple of M, which changes the aspect a little (the published ADE20K evaluation).
    """

    kind: Literal["native", "short", "long", "exact"]
    sides_px: tuple[int, ...] = ()  # none for native; (S,) for short and long; (height, width) for exact
    multiple: int = 1  # of the other side, for short and long

    def __post_init__(self) -> None:
        wanted_sides = {"native": 0, "short": 1, "long": 1, "exact": 2}.get(self.kind)
        sides_fit = all(1 <= side <= MAX_SIDE_PX for side in self.sides_px)
        multiple_fits = self.multiple == 1 or (wanted_sides == 1 and 1 < self.multiple <= 1024)
        if len(self.sides_px) != wanted_sides or not sides_fit or not multiple_fits:
            raise UsageError(_describe_policies(str(self)))

    @classmethod
    def parse(cls, text: str) -> SizePolicy:
        """Read the text that `str(policy)` gives. Raises UsageError, which lists the allowed forms."""
        form = "(native|short|long|exact)(?::([0-9]{1,5})(?:x([0-9]{1,5}))?(?:/([0-9]{1,4}))?)?"
        match = re.fullmatch(form, text)
        if match is None:
            raise UsageError(_describe_policies(text))
        kind: Any
        kind, *sides, multiple = match.groups()
        return cls(kind, tuple(int(side) for side in sides if side), int(multiple or 1))

    def __str__(self) -> str:
        text = ":".join(part for part in (self.kind, "x".join(map(str, self.sides_px))) if part)
        return text if self.multiple == 1 else f"{text}/{self.multiple}"

    def working_size(self, image: Size, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Size:
        """Size to which an image of that size is resized, sides rounded, each at least 1.

        Raises ImageError when it has more than `max_pixels` and more pixels than the image: a shorter side of
        1024 would make a strip of 10000 x 1 px ten gigapixels.
        """
        if self.kind == "native":
            return image
        if self.kind == "exact":
            working = Size(*self.sides_px)
        else:
            named = min(image) if self.kind == "short" else max(image)
            sides = (self.sides_px[0] if side == named else self._other(side, named) for side in image)
            working = Size(*sides)
        if working.area > max(max_pixels, image.area):
            problem = f"{self} would make it {working}, more than {max_pixels:,} pixels"
            raise ImageError(f"image of {image}: {problem}; crop it or set another size")
        return working

    def _other(self, side: int, named: int) -> int:
        (wanted,) = self.sides_px
        if self.multiple == 1:
            return max(1, int(side * (wanted / named) + 0.5))
        # the published evaluation's order of operations, which decides the ceiling in rare cases
        return math.ceil(side / named * wanted / self.multiple) * self.multiple


def _describe_policies(text: str) -> str:
    allowed = "native, short:S, long:S, short:S/M, long:S/M, exact:HxW"
    return f"size: got {text!r}; allowed: {allowed}, each side 1 to {MAX_SIDE_PX}"


@dataclass(frozen=True)
class Placement:
    """Where an image lies in a network's input, and so the way back.

    The image was resized to `content`, which lies in `tensor` with its top left corner at `offset`. The rest of
    the tensor is padding; what reaches beyond the tensor was cut off.
    """

    image: Size
    content: Size
    tensor: Size
    offset: tuple[int, int] = (0, 0)  # (y, x) in pixels of the tensor; negative where a crop cut something off

    def __post_init__(self) -> None:
        axes = zip(self.offset, self.content, self.tensor, strict=True)
        fits = all(
            (first >= 0 and first + side <= whole) or (first <= 0 and first + side >= whole)
            for first, side, whole in axes
        )
        if min(*self.image, *self.content) < 1 or not fits:
            raise ValueError(
                f"placement: got {self}; allowed: sizes of at least 1, content within tensor or covering it"
            )

    def points_to_tensor(self, points: ArrayLike) -> NDArray[np.float64]:
        """(N, 2) points (x, y) in image pixels -> the same in pixels of the tensor.

        The top left corner of an image is (0, 0) and its bottom right corner (width, height).
        """
        return _check_points(points) * self._scale_xy() + self.offset[::-1]

    def points_to_image(self, points: ArrayLike) -> NDArray[np.float64]:
        """(N, 2) points (x, y) in pixels of the tensor -> the same in image pixels."""
        return (_check_points(points) - self.offset[::-1]) / self._scale_xy()

    def scale_to(self, map_size: Size) -> tuple[float, float]:
        """Map pixels per image pixel (vertical, horizontal), for a map that covers the whole tensor."""
        horizontal, vertical = self._scale_xy()
        return (
            float(vertical) * map_size.height / self.tensor.height,
            float(horizontal) * map_size.width / self.tensor.width,
        )

    def _scale_xy(self) -> NDArray[np.float64]:
        return np.array([self.content.width / self.image.width, self.content.height / self.image.height])


def _check_points(points: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"points: got shape {array.shape}; allowed: (N, 2), each (x, y)")
    return array


def resize_and_pad(
    image: NDArray[np.uint8],
    policy: SizePolicy,
    *,
    multiple: int,
    kind: ResizeKind,
    padding: Padding = "edge",
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> tuple[NDArray[np.uint8], Placement]:
    """Resize an image to its working size and pad it right and bottom to a multiple of `multiple` pixels.

    image: (H, W, 3) or (H, W) uint8; the same array comes back where nothing has to change.
    padding: "edge" repeats the last row and column, "zero" is black.
    max_pixels: bounds an enlarged image; padding may bring it to twice that.

    Returns the input, uint8 with the image's number of dimensions, and where the image lies in it.
    Raises ImageError where the input would be too large, ValueError for arguments that are not allowed.
    """
    check_image(image)
    if multiple < 1 or padding not in get_args(Padding):
        raise ValueError(f"got multiple {multiple}, padding {padding!r}; allowed: 1 or more; edge or zero")
    before = Size.of(image)
    content = policy.working_size(before, max_pixels=max_pixels)
    tensor = Size(*(-(-side // multiple) * multiple for side in content))
    if tensor.area > 2 * max(max_pixels, before.area, multiple**2):
        raise ImageError(f"image of {before}: too narrow, padding would make it {tensor}; crop it")
    fitted = _pad(resize(image, content, kind), tensor, padding)
    return fitted, Placement(before, content, tensor)


def _pad(image: NDArray[np.uint8], size: Size, padding: Padding) -> NDArray[np.uint8]:
    height, width = Size.of(image)
    if (height, width) == size:
        return image
    padded = np.zeros((*size, *image.shape[2:]), np.uint8)
    padded[:height, :width] = image
    if padding == "edge":
        padded[:height, width:] = image[:, -1:]
        padded[height:] = padded[height - 1]
    return padded
