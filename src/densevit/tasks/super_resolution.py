"""Super-resolution: an image with several times the height and width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.core.errors import InputError, UsageError
from densevit.core.files import make_folder
from densevit.core.manifest import Manifest, ManifestError
from densevit.imaging import ImageSource, Photo, Placement, Size, SizePolicy
from densevit.imaging.photo import Pixels
from densevit.imaging.tiling import Tile
from densevit.tasks.base import Arrays, Example, Signature, TensorSpec, check_finite
from densevit.tasks.result import Drawing, Result
from densevit.tasks.tiled import TileableTask
from densevit.variants import SUPER_RESOLUTION

DEFAULT_TILE_PX = 512
"""Side of a tile, the part of a larger image that the network sees at once, by default."""

HALO_PX = 32
"""Overlap at each side of a tile; the convolutions at full resolution reach 20 pixels."""

MAX_WEBP_SIDE_PX = 16_383
"""libwebp's limit; Pillow reports it as a plain ValueError."""


def crop_to_multiple(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H, W, 3) cropped right and bottom, so that its sides are multiples of the scale."""
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height, :width]


def downscale(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H, W, 3), sides multiples of the scale -> (H / scale, W / scale, 3), by MATLAB's antialiased bicubic."""
    height, width = image.shape[:2]
    return imaging.resize(image, Size(height // scale, width // scale), "matlab_bicubic")


@dataclass(frozen=True)
class SuperResolutionResult(Result):
    """An enlarged image; it is written in the formats of images, and as compare (JPEG: bicubic on the left).

    Attributes:
        image: (H * scale, W * scale, 3) RGB, of the type of the original, uint8 or uint16.
        original: (H, W, 3) RGB before enlargement.
        scale: of height and width.
        alpha: (H * scale, W * scale) transparency of the same type, None for an opaque image.
        icc_profile: the color profile of both, or None.
    """

    image: Pixels
    original: Pixels
    scale: int
    alpha: Pixels | None = None
    icc_profile: bytes | None = None

    formats: ClassVar[Mapping[str, str]] = {
        "png": ".png",
        "jpg": ".jpg",
        "webp": ".webp",
        "tif": ".tif",
        "compare": ".compare.jpg",
    }
    default_format: ClassVar[str] = "png"

    def __post_init__(self) -> None:
        height, width = self.original.shape[:2]
        expected = (height * self.scale, width * self.scale, 3)
        if self.image.shape != expected or self.image.dtype != self.original.dtype:
            raise ValueError(f"the image is {self.image.dtype} {self.image.shape}, must be {expected}")

    @property
    def photo(self) -> Photo:
        """The enlarged image with transparency and profile."""
        return Photo(self.image, self.alpha, self.icc_profile)

    def save(self, path: str | Path, *, formats: Iterable[str] | None = None) -> list[Path]:
        """Writes the enlarged image; folders are made.

        Args:
            path: a file, whose suffix tells the format; or, with `formats`, folder and stem.
            formats: as `Result.save`.

        Returns:
            The files written.

        Raises:
            UsageError: the format cannot store 16 bits or transparency, or is unknown.
            InputError: the image is too large for the format.
        """
        if formats is not None:
            return super().save(path, formats=formats)
        target = Path(path)
        make_folder(target.parent)
        self._write_image(target)
        return [target]

    def write(self, form: str, target: Path) -> list[Path]:
        """Writes one format; see `Result.write`."""
        if form == "compare":
            self.compare().save(target)
        else:
            self._write_image(target)
        return [target]

    def _write_image(self, target: Path) -> None:
        height, width = self.image.shape[:2]
        if target.suffix.lower() == ".webp" and max(height, width) > MAX_WEBP_SIDE_PX:
            raise InputError(
                f"WebP holds at most {MAX_WEBP_SIDE_PX:,} px a side, got {width} x {height} px; use format png"
            )
        imaging.save_photo(self.photo, target)

    def compare(self) -> Drawing:
        """Bicubic enlargement on the left, the model's on the right, with 8 bits and without transparency."""
        small = Photo(self.original).to_8_bits()
        bicubic = _clip(imaging.enlarge(small, self.scale), small.dtype)
        return Drawing(np.concatenate([bicubic, Photo(self.image).to_8_bits()], axis=1).astype(np.uint8))

    def to_json(self) -> dict[str, Any]:
        """Size and scale, ready for JSON."""
        height, width = self.image.shape[:2]
        return {"height": height, "width": width, "scale": self.scale}


class SuperResolution(TileableTask[Photo, SuperResolutionResult]):
    """Pre- and postprocessing of a super-resolution model.

    Args:
        scale: of height and width.
        multiple: sides of the network's input are multiples of this.
        channels: of the image.
    """

    class_names: tuple[str, ...] = ()
    size = SizePolicy("native")
    memory_advice = "use smaller tiles (--tile 256, tile=256)"
    default_tile_px = DEFAULT_TILE_PX

    def __init__(self, scale: int, *, multiple: int = 16, channels: int = 3) -> None:
        self.scale = scale
        self.multiple = multiple
        self.channels = channels

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """One function: images in 0..1 -> enlarged ones, not clipped."""
        image = TensorSpec("image", "float32", ("batch", self.channels, "height", "width"), Example("image"))
        enlarged = TensorSpec("enlarged", "float32", ("batch", self.channels, "rows", "columns"))
        return {"forward": Signature((image,), (enlarged,))}

    def load_image(self, source: ImageSource, *, max_pixels: int) -> Photo:
        """Reads an image with its depth, transparency and profile; see `imaging.read_photo`."""
        return imaging.read_photo(source, max_pixels=max_pixels)

    def preprocess(self, image: Photo) -> tuple[dict[str, NDArray[Any]], Placement]:
        """(H, W, 3) uint8 or uint16 RGB -> {"image": (1, 3, H', W') float32}, and where the image is in it.

        It is padded right and bottom by repeating its edge.
        """
        pixels = image.pixels
        size = Size.of(pixels)
        height, width = (-(-side // self.multiple) * self.multiple for side in size)
        values = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
        padding = ((0, height - size.height), (0, width - size.width), (0, 0))
        tensor = np.ascontiguousarray(np.pad(values, padding, mode="edge").transpose(2, 0, 1)[None])
        return {"image": tensor}, Placement(size, size, Size(height, width))

    def postprocess(self, raw: Arrays, placement: Placement, image: Photo | None = None) -> SuperResolutionResult:
        """{"enlarged": (1, 3, H' * scale, W' * scale)} -> the image, rounded to its original's type.

        Transparency is enlarged bicubically.

        Raises:
            UsageError: no image.
            InputError: an output that is not finite.
            ValueError: an output of another shape.
        """
        if image is None:
            raise UsageError("postprocess needs the image that was enlarged")
        (spec,) = self.signatures["forward"].outputs
        spec.check(raw[spec.name])
        check_finite(raw[spec.name])
        height, width = (side * self.scale for side in placement.image)
        values = raw[spec.name][0].transpose(1, 2, 0)[:height, :width]
        alpha = None
        if image.alpha is not None:
            alpha = _clip(imaging.enlarge(image.alpha, self.scale), image.alpha.dtype)
        enlarged = _quantize(values, image.pixels.dtype)
        return SuperResolutionResult(enlarged, image.pixels, self.scale, alpha, image.icc_profile)

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that are computed and then cut off."""
        return -(-HALO_PX // self.multiple) * self.multiple

    def measure(self, image: Photo) -> Size:
        """Height and width of an image."""
        return image.size

    def crop(self, image: Photo, rows: slice, columns: slice) -> Photo:
        """A window of an image, with its transparency."""
        alpha = None if image.alpha is None else image.alpha[rows, columns]
        return Photo(image.pixels[rows, columns], alpha)

    def make_canvas(self, image: Photo) -> _PhotoCanvas:
        """An empty enlarged image."""
        return _PhotoCanvas(image, self.scale)


class _PhotoCanvas:
    """An enlarged image, tile by tile."""

    def __init__(self, photo: Photo, scale: int) -> None:
        self._photo = photo
        self._scale = scale
        shape = tuple(side * scale for side in photo.size)
        self._image = np.empty((*shape, 3), photo.pixels.dtype)
        self._alpha = None if photo.alpha is None else np.empty(shape, photo.alpha.dtype)

    def paste(self, part: SuperResolutionResult, tile: Tile) -> None:
        inner, outer = tile.inner(self._scale), tile.outer(self._scale)
        self._image[outer] = part.image[inner]
        if self._alpha is not None and part.alpha is not None:
            self._alpha[outer] = part.alpha[inner]

    def finish(self) -> SuperResolutionResult:
        photo = self._photo
        return SuperResolutionResult(self._image, photo.pixels, self._scale, self._alpha, photo.icc_profile)


def _quantize(values: NDArray[np.float32], dtype: np.dtype[Any]) -> Pixels:
    """0..1 -> the whole range of an integer type."""
    return _clip(values * np.float32(np.iinfo(dtype).max), dtype)


def _clip(values: NDArray[np.float32], dtype: np.dtype[Any]) -> Pixels:
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)


def make_super_resolution_task(manifest: Manifest, size: str | None = None) -> SuperResolution:
    """The task of a model that describes itself.

    Args:
        manifest: of the model; its architecture states the scale.
        size: "native" or "published", which are the same: images are enlarged as they are.

    Raises:
        UsageError: another size.
        ManifestError: an architecture that this version does not know.
    """
    if size not in (None, "native", "published"):
        raise UsageError(f"size: got {size!r}; super-resolution takes images at their own size: native")
    if manifest.architecture not in SUPER_RESOLUTION:
        known = ", ".join(SUPER_RESOLUTION)
        raise ManifestError(f"{manifest.name}: unknown architecture {manifest.architecture!r}; known: {known}")
    scale = SUPER_RESOLUTION[manifest.architecture].scale
    return SuperResolution(scale, multiple=manifest.multiple, channels=len(manifest.mean))
