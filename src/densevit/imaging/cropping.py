"""The center crop of the published classification evaluations."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from densevit.imaging.placement import Placement
from densevit.imaging.resampling import ResizeKind, resize
from densevit.imaging.types import DEFAULT_MAX_PIXELS, ImageError, Size, check_image


def center_crop(
    image: NDArray[np.uint8],
    size: Size,
    *,
    crop_ratio: float,
    kind: ResizeKind,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> tuple[NDArray[np.uint8], Placement]:
    """Resize an image, aspect ratio kept, until it covers `size` / `crop_ratio`, and cut `size` from its center.

    For a square size that is the usual evaluation: shorter side to ceil(side / crop_ratio), the longer one
    rounded down, half the surplus (rounded half to even) cut off at the top and left.

    image: (H, W, 3) or (H, W) uint8.
    crop_ratio: in (0, 1].
    max_pixels: bounds the resized image, as for `resize_and_pad`.

    Returns the crop, uint8 of `size`, and where the image lies in it: it reaches beyond.
    Raises ImageError where the resized image would be too large, ValueError for another image or ratio.
    """
    check_image(image)
    if not 0 < crop_ratio <= 1:
        raise ValueError(f"crop_ratio: got {crop_ratio}; allowed: above 0, at most 1")
    before = Size.of(image)
    covered = Size(*(math.ceil(side / crop_ratio) for side in size))
    if covered.height * before.width >= covered.width * before.height:
        resized = Size(covered.height, covered.height * before.width // before.height)
    else:
        resized = Size(covered.width * before.height // before.width, covered.width)
    if resized.area > max(max_pixels, before.area):
        raise ImageError(
            f"image of {before}: covering {size} would make it {resized}, more than {max_pixels:,} pixels; "
            "crop it or set another size"
        )
    top, left = (round((side - kept) / 2) for side, kept in zip(resized, size, strict=True))
    whole = resize(image, resized, kind)
    cut = np.ascontiguousarray(whole[top : top + size.height, left : left + size.width])
    return cut, Placement(before, resized, size, (-top, -left))
