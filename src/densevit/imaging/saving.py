"""Images and label images in files, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densevit.core.files import write_atomically
from densevit.imaging.types import Size, check_image

_MAX_JPEG_SIDE_PX = 65_500  # libjpeg's own
_SAVE_FORMATS: dict[str, tuple[str, dict[str, int]]] = {
    ".png": ("PNG", {"compress_level": 1}),  # 4 times as fast as the default, up to a fifth larger
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"quality": 95}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
}


def save(
    image: NDArray[np.uint8] | NDArray[np.uint16],
    path: str | os.PathLike[str],
    *,
    palette: NDArray[np.uint8] | None = None,
) -> None:
    """Write an image or a label image in the format of the suffix: all of it or nothing.

    image: (H, W, 3) or (H, W) uint8; (H, W) uint16 as PNG only.
    palette: (N, 3) uint8 RGB, N at most 256: colors of an (H, W) uint8 label image, PNG only. The file keeps
        the labels, viewers show the colors; labels from N on look black.

    An existing file is replaced. Raises ValueError for what cannot be written so, FileNotFoundError for a
    missing folder, and OSError as the system gives it.
    """
    from PIL import Image

    target = Path(path)
    suffix = target.suffix.lower()
    if image.dtype != np.uint16 or image.ndim != 2 or suffix != ".png":
        check_image(image)
    file_format, options = pillow_format(target, Size.of(image))
    pillow_image = Image.fromarray(image)
    if palette is not None:
        if image.dtype != np.uint8 or image.ndim != 2 or suffix != ".png":
            raise ValueError(f"{target}: a palette needs (H, W) uint8 labels and the suffix .png")
        pillow_image.putpalette(_full_palette(palette).tobytes())
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: no such folder; create {target.parent} first")

    with write_atomically(target) as temporary:
        pillow_image.save(temporary, format=file_format, **options)


def pillow_format(target: Path, size: Size) -> tuple[str, dict[str, int]]:
    """Pillow's name of the format that a suffix means, and its options.

    Raises ValueError for an unknown suffix, and for an image that the format cannot hold.
    """
    suffix = target.suffix.lower()
    if suffix not in _SAVE_FORMATS:
        raise ValueError(f"{target}: got suffix {suffix!r}; allowed: {', '.join(_SAVE_FORMATS)}")
    if suffix in (".jpg", ".jpeg") and max(size) > _MAX_JPEG_SIDE_PX:
        side = f"{max(size):,} pixels"
        raise ValueError(f"{target}: JPEG holds {_MAX_JPEG_SIDE_PX:,} pixels a side, got {side}; save a PNG")
    return _SAVE_FORMATS[suffix]


def _full_palette(palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """256 colors, for with fewer Pillow would cut every label, 255 too, to fewer bits."""
    if palette.dtype != np.uint8 or palette.ndim != 2 or palette.shape[1] != 3 or len(palette) > 256:
        got = f"{palette.dtype} {palette.shape}"
        raise ValueError(f"palette: got {got}; allowed: uint8 (N, 3), N at most 256")
    return np.concatenate([palette, np.zeros((256 - len(palette), 3), np.uint8)])
