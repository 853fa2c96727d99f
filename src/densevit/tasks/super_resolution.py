"""Super-resolution: an image with several times the height and width."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.core.errors import UsageError
from densevit.core.files import make_folder
from densevit.core.manifest import Manifest, ManifestError
from densevit.imaging import ImageSource, Photo, Placement, Size, SizePolicy
from densevit.imaging.photo import Pixels
from densevit.imaging.tiling import Tile, cut_tiles
from densevit.tasks.base import Arrays, Signature, TensorSpec, check_finite
from densevit.tasks.result import Drawing
from densevit.variants import SUPER_RESOLUTION

DEFAULT_TILE_PX = 512
"""Side of a tile, the part of a larger image that the network sees at once, by default."""

HALO_PX = 32
"""Overlap at each side of a tile; the convolutions at full resolution reach 20 pixels."""


def crop_to_multiple(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H, W, 3) cropped right and bottom, so that its sides are multiples of the scale."""
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height, :width]


def downscale(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H, W, 3), sides multiples of the scale -> (H / scale, W / scale, 3), by MATLAB's antialiased bicubic."""
    height, width = image.shape[:2]
    return imaging.resize(image, Size(height // scale, width // scale), "matlab_bicubic")


@dataclass(frozen=True)
class SuperResolutionResult:
    """An enlarged image.

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

    def __post_init__(self) -> None:
        height, width = self.original.shape[:2]
        expected = (height * self.scale, width * self.scale, 3)
        if self.image.shape != expected or self.image.dtype != self.original.dtype:
            raise ValueError(f"the image is {self.image.dtype} {self.image.shape}, must be {expected}")

    @property
    def photo(self) -> Photo:
        """The enlarged image with transparency and profile."""
        return Photo(self.image, self.alpha, self.icc_profile)

    def save(self, path: str | Path) -> Path:
        """Writes the enlarged image in the format of the suffix; folders are made.

        Returns:
            The file written.

        Raises:
            UsageError: the format cannot store 16 bits or transparency, or is unknown.
        """
        target = Path(path)
        make_folder(target.parent)
        imaging.save_photo(self.photo, target)
        return target

    def compare(self) -> Drawing:
        """Bicubic enlargement on the left, the model's on the right, with 8 bits and without transparency."""
        small = Photo(self.original).to_8_bits()
        bicubic = _clip(imaging.enlarge(small, self.scale), small.dtype)
        return Drawing(np.concatenate([bicubic, Photo(self.image).to_8_bits()], axis=1).astype(np.uint8))

    def to_json(self) -> dict[str, Any]:
        """Size and scale, ready for JSON."""
        height, width = self.image.shape[:2]
        return {"height": height, "width": width, "scale": self.scale}


class SuperResolution:
    """Pre- and postprocessing of a super-resolution model.

    Args:
        scale: of height and width.
        multiple: sides of the network's input are multiples of this.
        channels: of the image.

    Attributes:
        tile_px: side of the tiles, in which larger images are enlarged, a multiple of `multiple`. None: the
            whole image at once, however large.
    """

    class_names: tuple[str, ...] = ()
    size = SizePolicy("native")
    memory_advice: ClassVar[str] = "use smaller tiles (--tile 256, task.tile_px = 256)"

    def __init__(self, scale: int, *, multiple: int = 16, channels: int = 3) -> None:
        self.scale = scale
        self.multiple = multiple
        self.channels = channels
        self.tile_px: int | None = DEFAULT_TILE_PX

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that are computed and then cut off."""
        return -(-HALO_PX // self.multiple) * self.multiple

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """One function: images in 0..1 -> enlarged ones, not clipped."""
        image = TensorSpec("image", "float32", ("batch", self.channels, "height", "width"))
        enlarged = TensorSpec("enlarged", "float32", ("batch", self.channels, "rows", "columns"))
        return {"forward": Signature((image,), (enlarged,))}

    def preprocess(self, image: Pixels) -> tuple[dict[str, NDArray[Any]], Placement]:
        """(H, W, 3) uint8 or uint16 RGB -> {"image": (1, 3, H', W') float32}, and where the image is in it.

        It is padded right and bottom by repeating its edge.
        """
        size = Size.of(image)
        height, width = (-(-side // self.multiple) * self.multiple for side in size)
        values = image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
        padding = ((0, height - size.height), (0, width - size.width), (0, 0))
        tensor = np.ascontiguousarray(np.pad(values, padding, mode="edge").transpose(2, 0, 1)[None])
        return {"image": tensor}, Placement(size, size, Size(height, width))

    def postprocess(self, raw: Arrays, placement: Placement, image: Pixels | None = None) -> SuperResolutionResult:
        """{"enlarged": (1, 3, H' * scale, W' * scale)} -> the image, rounded to the type of `image`.

        Raises:
            UsageError: no image.
            InputError: an output that is not finite.
            ValueError: an output of another shape.
        """
        if image is None:
            raise UsageError("postprocess needs the image that was enlarged")
        height, width = (side * self.scale for side in placement.image)
        enlarged = _quantize(self._take_output(raw)[:height, :width], image.dtype)
        return SuperResolutionResult(enlarged, image, self.scale)

    def _take_output(self, raw: Arrays) -> NDArray[np.float32]:
        """The network's output as (H' * scale, W' * scale, 3) in about 0..1."""
        (spec,) = self.signatures["forward"].outputs
        spec.check(raw[spec.name])
        check_finite(raw[spec.name])
        enlarged: NDArray[np.float32] = raw[spec.name][0].transpose(1, 2, 0)
        return enlarged

    def read(self, source: ImageSource, *, max_pixels: int) -> Photo:
        """Reads an image with its depth, transparency and profile; see `imaging.read_photo`."""
        return imaging.read_photo(source, max_pixels=max_pixels)

    def answer(self, photo: Photo, run: Callable[[Arrays], Arrays]) -> SuperResolutionResult:
        """Enlarges an image, in tiles where it is larger than `tile_px`.

        Beyond input and output, memory depends only on `tile_px`.

        Args:
            photo: the image.
            run: the function "forward" of a runtime.

        Raises:
            UsageError: `tile_px` is not a multiple of `multiple`, or leaves nothing between the halos.
            InputError: an output that is not finite.
        """
        shape = tuple(side * self.scale for side in photo.size)
        image = np.empty((*shape, 3), photo.pixels.dtype)
        alpha = None if photo.alpha is None else np.empty(shape, photo.alpha.dtype)
        for tile in self._tiles(photo.size):
            window = photo.pixels[_slices(tile)]
            tensors, _ = self.preprocess(window)
            enlarged = self._take_output(run(tensors))[tile.inner(self.scale)]
            image[tile.outer(self.scale)] = _quantize(enlarged, image.dtype)
            if alpha is not None and photo.alpha is not None:
                plane = imaging.enlarge(photo.alpha[_slices(tile)], self.scale)[tile.inner(self.scale)]
                alpha[tile.outer(self.scale)] = _clip(plane, alpha.dtype)
        return SuperResolutionResult(image, photo.pixels, self.scale, alpha, photo.icc_profile)

    def _tiles(self, size: Size) -> list[Tile]:
        if self.tile_px is None or max(size) <= self.tile_px:
            whole = ((0, size.height), (0, size.width))
            return [Tile(*whole, *whole)]
        return list(cut_tiles(size, self.tile_px, halo_px=self.halo_px, multiple=self.multiple))


def _slices(tile: Tile) -> tuple[slice, slice]:
    return slice(*tile.read_rows), slice(*tile.read_columns)


def _quantize(values: NDArray[np.float32], dtype: np.dtype[Any]) -> Pixels:
    """0..1 -> the whole range of an integer type."""
    return _clip(values * np.float32(np.iinfo(dtype).max), dtype)


def _clip(values: NDArray[np.float32], dtype: np.dtype[Any]) -> Pixels:
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)


def make_super_resolution_task(manifest: Manifest, *, size: str | None = None) -> SuperResolution:
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
