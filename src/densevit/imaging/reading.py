"""Read any image as an upright RGB array; no pixel is decoded before the size is known to be allowed."""

from __future__ import annotations

import importlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import DensevitError
from densevit.imaging.types import DEFAULT_MAX_PIXELS, ImageError, ImageSource, Size

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# What a file may be, by its first bytes. No other file ever reaches a decoder: Pillow also knows formats
# that start other programs (EPS). To the JPEG plugin a phone's MPO is a JPEG.
_FORMATS = (
    (rb"\xff\xd8\xff", "JPEG", "JpegImagePlugin"),
    (rb"\x89PNG\r\n\x1a\n", "PNG", "PngImagePlugin"),
    (rb"RIFF....WEBP", "WEBP", "WebPImagePlugin"),
    (rb"BM", "BMP", "BmpImagePlugin"),
    (rb"II[\x2a\x2b]\x00|MM\x00[\x2a\x2b]", "TIFF", "TiffImagePlugin"),
    (rb"GIF8[79]a", "GIF", "GifImagePlugin"),
    (rb"P[1-6]", "PPM", "PpmImagePlugin"),
)
_TIFF_WIDTH, _TIFF_HEIGHT = 0x0100, 0x0101
_EXIF_ORIENTATION = 0x0112
_TRANSPOSE_OF_ORIENTATION = {  # names in PIL.Image.Transpose
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def read(source: ImageSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image as (H, W, 3) uint8 RGB, upright, C-contiguous.

    source: a path (JPEG, MPO, PNG, WebP, BMP, TIFF, GIF, PPM); a PIL image; or a uint8 array, (H, W, 3) RGB,
        (H, W, 4) RGBA, (H, W) or (H, W, 1) gray. A C-contiguous (H, W, 3) array comes back as it is.
    max_pixels: bounds files and PIL images, checked before their pixels are decoded. Pillow reads no WebP above
        178,956,970 pixels in any case.

    Transparent pixels are laid over white. EXIF orientation is applied. 16-bit gray becomes value / 257,
    rounded. Of an animation, or of several pages, the first is read.

    Raises ImageError, a ValueError of one line, for whatever cannot be read.
    """
    if isinstance(source, np.ndarray):
        return _read_array(source)

    with open_image(source, max_pixels=max_pixels) as (image, name):
        decode(image)
        return np.array(turn_upright(convert_to_rgb(image, name), of=image))


@contextmanager
def open_image(source: ImageSource, *, max_pixels: int) -> Iterator[tuple[PillowImage, str]]:
    """Open a path or PIL image: the image, size checked but pixels not decoded, and its name for messages.

    Whatever Pillow raises within the block becomes an ImageError with that name, so keep other work out of it;
    densevit's own errors pass through. Raises ImageError as `read` does.
    """
    from PIL import Image

    if isinstance(source, Image.Image):
        with _explain_errors("PIL image"):
            _check_size(source, "PIL image", max_pixels)
            yield source, "PIL image"
        return
    if not isinstance(source, (str, os.PathLike)):
        allowed = "a path, a PIL image or a numpy array"
        raise ImageError(f"{type(source).__name__}: not an image; allowed: {allowed}")

    path = Path(os.fsdecode(source))
    name = _sanitize(os.fsdecode(source))
    with _explain_errors(name):
        _check_file(path, name)
        with path.open("rb") as file:
            image = _open(file, name)
            _check_size(image, name, max_pixels)
            yield image, name


def decode(image: PillowImage) -> None:
    """Decode the pixels of an image that `open_image` opened."""
    _skip_pillows_size_check(image)
    image.load()


def turn_upright(image: PillowImage, *, of: PillowImage) -> PillowImage:
    """The image, turned as the EXIF orientation of `of`, the image that it was made from, says."""
    from PIL import Image

    transpose = _TRANSPOSE_OF_ORIENTATION.get(_read_orientation(of))
    return image.transpose(Image.Transpose[transpose]) if transpose else image


def _read_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    shape = array.shape
    channels = shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        allowed = "uint8 (H, W, 3), (H, W, 4), (H, W, 1) or (H, W), none of them empty"
        raise ImageError(f"array: got {array.dtype} {shape}; allowed: {allowed}")
    if channels == 4:
        from PIL import Image

        return np.array(_lay_over_white(Image.fromarray(array)))
    if channels == 1:
        return np.repeat(array.reshape(*shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(array)


def _check_file(path: Path, name: str) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{name}: is a folder; give an image inside it")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could wait for ever
        raise ImageError(f"{name}: is not a regular file; give an image file")
    if status.st_size == 0:
        raise ImageError(f"{name}: is empty; fetch or save it again")


def _open(file: IO[bytes], name: str) -> PillowImage:
    """Read the header alone. Unlike `Image.open`, this avoids Pillow's own, process-wide limit on pixels."""
    from PIL import Image

    start = file.read(16)
    file.seek(0)
    for signature, file_format, plugin in _FORMATS:
        if re.match(signature, start, re.DOTALL):
            importlib.import_module(f"PIL.{plugin}")
            factory, _ = Image.OPEN[file_format]
            return factory(file, "")
    known = ", ".join(file_format for _, file_format, _ in _FORMATS)
    raise ImageError(f"{name}: is not an image of a known format ({known}); save it as PNG or JPEG")


def _check_size(image: PillowImage, name: str, max_pixels: int) -> None:
    size = Size(image.height, image.width)
    if size.area == 0:
        raise ImageError(f"{name}: has no pixels ({size}); give another image")
    if size.area > max_pixels:
        counts = f"{size} = {size.area:,} pixels, allowed {max_pixels:,}"
        raise ImageError(f"{name}: too large ({counts}); shrink it or raise max_pixels")


def _skip_pillows_size_check(image: Any) -> None:
    """Keep Pillow's TIFF decoder from warning of a size that max_pixels allows.

    The decoder checks the size where it allocates memory for the pixels, and warns above `Image.MAX_IMAGE_PIXELS`;
    with memory that is allocated beforehand it skips both. A warning filter is not an option: filters belong to
    the whole process, and images are read on several threads.
    """
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    not_decoded = getattr(image, "tile", None) and getattr(image, "fp", None) is not None
    if image.format == "TIFF" and not_decoded and limit is not None and image.width * image.height > limit:
        stored = (image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT])  # `image.size` may be turned already
        image.im = Image.new(image.mode, stored, None).im


def _read_orientation(image: PillowImage) -> int:
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # Pillow's parser raises many kinds; broken EXIF does not make an image unreadable
        return 1
    return orientation if isinstance(orientation, int) else 1


def convert_to_rgb(image: PillowImage, name: str) -> PillowImage:
    """A decoded image in 8-bit RGB: over white where it is transparent, value / 257 where it has 16 bits."""
    if image.mode.startswith("I"):
        return _reduce_16_bits(image, name).convert("RGB")
    if image.mode == "F":
        raise ImageError(f"{name}: holds floating-point pixels of unknown range; save it with 8 bits")
    if image.has_transparency_data:
        return _lay_over_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _reduce_16_bits(image: PillowImage, name: str) -> PillowImage:
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65_535:
        found = f"{values.min()} to {values.max()}"
        raise ImageError(f"{name}: holds integers {found}, allowed 0 to 65535; save it with 8 or 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _lay_over_white(rgba: PillowImage) -> PillowImage:
    from PIL import Image

    white = Image.new("RGB", rgba.size, (255, 255, 255))
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


@contextmanager
def _explain_errors(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged data into an ImageError."""
    try:
        yield
    except DensevitError:
        raise
    except Exception as error:  # decoders raise some ten kinds, AttributeError and TypeError among them
        raise ImageError(f"{name}: {_explain(error, name)}") from error


def _explain(error: Exception, name: str) -> str:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        looks_like_url = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name)
        return "is a URL; download it first" if looks_like_url else "no such file; check the path"
    if isinstance(error, PermissionError):
        return "permission denied; make it readable for this user"
    if isinstance(error, MemoryError):
        return "does not fit into memory; shrink it"
    reason = _sanitize(str(error)) or type(error).__name__
    return f"cannot be read ({reason}); check it, or save it again as PNG or JPEG"


def _sanitize(text: str) -> str:
    """The text without line breaks and terminal control, short enough for a message."""
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= 300 else f"{printable[:140]} ... {printable[-140:]}"
