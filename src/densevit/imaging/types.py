"""The types of this package: what an image is, its size, and the error for one that cannot be used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError, UsageError
from densevit.core.limits import DEFAULT_MAX_PIXELS
from densevit.core.messages import describe_size

if TYPE_CHECKING:  # Pillow costs 30 ms to import: functions that need it import it
    from PIL.Image import Image as PillowImage

ImageSource: TypeAlias = "str | os.PathLike[str] | PillowImage | NDArray[Any]"

__all__ = ["DEFAULT_MAX_PIXELS", "ImageError", "ImageSource", "Size", "check_image"]


class ImageError(InputError):
    """An image that cannot be used: one line with its name, what is wrong, and what to do."""


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @classmethod
    def of(cls, image: NDArray[Any]) -> Size:
        """Size of a (H, W) or (H, W, C) array."""
        return cls(image.shape[0], image.shape[1])

    def __str__(self) -> str:
        return describe_size(self)


def check_image(image: NDArray[Any]) -> None:
    """Raises UsageError for anything but a (H, W, 3) or (H, W) uint8 array."""
    is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if not is_image or image.dtype != np.uint8 or image.size == 0:
        got = f"{image.dtype} {image.shape}"
        raise UsageError(f"image: got {got}; allowed: uint8 (H, W, 3) or (H, W), not empty")
