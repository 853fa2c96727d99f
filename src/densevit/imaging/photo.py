"""Read and save a photograph with what `read` and `save` drop: 16 bits, transparency, the color profile."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError
from densevit.core.files import write_atomically
from densevit.imaging.png16 import write_png16
from densevit.imaging.reading import convert_to_rgb, decode, open_image, turn_upright
from densevit.imaging.saving import choose_format
from densevit.imaging.types import DEFAULT_MAX_PIXELS, ImageError, ImageSource, Size

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MAX_PROFILE_BYTES = 16 * 2**20

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Photo:
    """An image as it is stored in its file.

    Attributes:
        pixels: (H, W, 3) uint8 or uint16 RGB, upright, C-contiguous.
        alpha: (H, W) of the same type, 0 where fully transparent; None for an opaque image. Colors are not
            multiplied by it.
        icc_profile: the color profile of RGB pixels, or None.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    icc_profile: bytes | None = None

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype not in (np.uint8, np.uint16) or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ValueError(f"pixels: got {self.pixels.dtype} {shape}; allowed: uint8 or uint16 (H, W, 3)")
        alpha = self.alpha
        if alpha is not None and (alpha.shape != shape[:2] or alpha.dtype != self.pixels.dtype):
            raise ValueError(f"alpha: got {alpha.dtype} {alpha.shape} for pixels {self.pixels.dtype} {shape}")

    @property
    def size(self) -> Size:
        """Height and width."""
        return Size.of(self.pixels)

    def to_8_bits(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8: the pixels, 16-bit ones as value / 257, rounded."""
        if self.pixels.dtype == np.uint8:
            return self.pixels.astype(np.uint8, copy=False)
        return ((self.pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def read_photo(source: ImageSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """Reads an image with its depth, transparency and color profile.

    Args:
        source: as for `read`; arrays may be uint16 too.
        max_pixels: as for `read`.

    Gray images and those in CMYK or palette colors become RGB; a profile that does not describe RGB is
    dropped with the colors it was for. 16 bits are kept of gray PNG and TIFF and of RGB(A) PNG files; other
    16-bit files are read with 8 bits.

    Raises:
        ImageError: as `read`.
    """
    if isinstance(source, np.ndarray):
        return _read_array(source)
    with open_image(source, max_pixels=max_pixels) as (image, name):
        pixels: Pixels
        mode = _detect_16_bit_mode(image)
        if mode is not None:
            with open_image(source, max_pixels=max_pixels) as (again, _):
                pixels = _decode_16_bits(image, again, mode)
        else:
            decode(image)
            pixels = _convert_pixels(image, name)
        if pixels.shape[2] == 3:
            return Photo(pixels, None, _read_profile(image))
        return Photo(pixels[..., :3].copy(), pixels[..., 3].copy(), _read_profile(image))


def _read_array(array: NDArray[Any]) -> Photo:
    shape = array.shape
    channels = shape[2] if array.ndim == 3 else 1
    known = array.dtype in (np.uint8, np.uint16) and array.ndim in (2, 3) and channels in (1, 3, 4)
    if not known or array.size == 0:
        allowed = "uint8 or uint16 (H, W, 3), (H, W, 4), (H, W, 1) or (H, W), none of them empty"
        raise ImageError(f"array: got {array.dtype} {shape}; allowed: {allowed}")
    pixels = array.reshape(*shape[:2], channels)
    if channels == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    alpha = np.ascontiguousarray(pixels[..., 3]) if channels == 4 else None
    return Photo(np.ascontiguousarray(pixels[..., :3]), alpha)


def _detect_16_bit_mode(image: Any) -> str | None:
    """The mode of a 16-bit PNG that Pillow would read with 8 bits, None for all other images."""
    if image.format != "PNG" or len(image.tile) != 1 or image.mode not in ("RGB", "RGBA"):
        return None
    return image.mode if image.tile[0][3] == f"{image.mode};16B" else None


def _decode_16_bits(high: Any, low: Any, mode: str) -> NDArray[np.uint16]:
    """Decodes the file twice, for the upper bytes and for the lower ones: Pillow keeps one byte at a time."""
    codec, extents, offset, _ = low.tile[0]
    # Pillow keeps the upper byte; told that the file is little-endian, it takes the lower byte for the upper one
    low.tile = [type(low.tile[0])(codec, extents, offset, f"{mode};16L")]
    decode(high)
    decode(low)
    upper = np.array(turn_upright(high, of=high), np.uint16)
    pixels: NDArray[np.uint16] = (upper << 8) | np.asarray(turn_upright(low, of=high))
    return pixels


def _convert_pixels(image: PillowImage, name: str) -> Pixels:
    """(H, W, 3 or 4) pixels of any other decoded image."""
    if image.mode.startswith("I"):
        values = np.asarray(turn_upright(image, of=image)).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise ImageError(f"{name}: holds gray values beyond 16 bits; save it with 16 or 8 bits")
        return np.repeat(values.astype(np.uint16)[..., None], 3, axis=2)
    if image.has_transparency_data:
        return np.array(turn_upright(image.convert("RGBA"), of=image))
    return np.array(turn_upright(convert_to_rgb(image, name), of=image))


def _read_profile(image: PillowImage) -> bytes | None:
    """The color profile if it describes RGB; bytes 16 to 19 of its header name the color space."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 <= len(profile) <= MAX_PROFILE_BYTES:
        return None
    return profile if profile[16:20] == b"RGB " else None


_WITH_ALPHA = (".png", ".webp", ".tif", ".tiff")


def save_photo(photo: Photo, path: str | os.PathLike[str]) -> None:
    """Writes a photograph in the format of the suffix, with its profile: all of it or nothing.

    Raises:
        UsageError: an unknown suffix.
        InputError: the format does not hold the photo's 16 bits, transparency or size; the folder is missing, or
            the file cannot be written for another reason.
        UnavailableError: the disk is full.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    file_format, options = choose_format(target, photo.size)
    if photo.pixels.dtype == np.uint16 and suffix != ".png":
        raise InputError(f"{target}: the image has 16 bits per channel, which only .png keeps here; save a .png")
    if photo.alpha is not None and suffix not in _WITH_ALPHA:
        allowed = ", ".join(_WITH_ALPHA)
        raise InputError(f"{target}: the image has transparency, which {suffix} does not hold; use {allowed}")
    layers = [photo.pixels] if photo.alpha is None else [photo.pixels, photo.alpha[..., None]]
    pixels = layers[0] if len(layers) == 1 else np.concatenate(layers, axis=2)
    with write_atomically(target) as temporary:
        if pixels.dtype == np.uint16:
            with temporary.open("wb") as file:
                write_png16(pixels.astype(np.uint16, copy=False), file, icc_profile=photo.icc_profile)
            return
        from PIL import Image

        profile = {} if photo.icc_profile is None else {"icc_profile": photo.icc_profile}
        Image.fromarray(pixels).save(temporary, format=file_format, **options, **profile)
