"""Semantic segmentation: a class for every pixel of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest
from densevit.imaging import Placement, Size, SizePolicy, draw
from densevit.imaging.tiling import Tile
from densevit.labels import Align, full_resolution_confidence, full_resolution_labels
from densevit.tasks.base import Arrays, Example, Signature, TensorSpec, check_finite
from densevit.tasks.result import Drawing, Result, write_json
from densevit.tasks.tiled import TileableTask

_HALO_PX = 128
"""Around a tile, for context; the linear attention sees the whole tile."""

_STRIP_PIXELS = 1 << 20
"""Counted at once: `np.bincount` converts its input to int64, eight times the memory of the labels."""


@dataclass(frozen=True)
class SegmentationResult(Result):
    """A class for every pixel; it is written as overlay (JPEG), labels (PNG of class indices with the palette),
    color (PNG), and json (size and fractions).

    Attributes:
        labels: (H, W) uint8, or uint16 above 256 classes: index into `class_names`.
        class_names: one name per class.
        palette: (classes, 3) uint8 RGB.
        logits: (classes, h, w) float32, the network's output before any upsampling; None if the image was answered
            in tiles.
        placement: where the image was in the network's input.
        image: (H, W, 3) uint8 RGB, or None if it was not kept.
        align: how the logits were upsampled.
    """

    labels: NDArray[np.uint8] | NDArray[np.uint16]
    class_names: tuple[str, ...]
    palette: NDArray[np.uint8]
    logits: NDArray[np.float32] | None
    placement: Placement
    image: NDArray[np.uint8] | None = None
    align: Align = "bilinear"

    formats: ClassVar[Mapping[str, str]] = {
        "overlay": ".overlay.jpg",
        "labels": ".labels.png",
        "color": ".color.png",
        "json": ".segmentation.json",
    }
    default_format: ClassVar[str] = "overlay"

    def __post_init__(self) -> None:
        if self.labels.shape != tuple(self.placement.image):
            raise ValueError(f"labels are {self.labels.shape}, the image is {self.placement.image}")
        channels = len(self.class_names) if self.logits is None else len(self.logits)
        if not len(self.class_names) == len(self.palette) == channels:
            raise ValueError(
                f"{len(self.class_names)} names, {len(self.palette)} colors, {channels} logits: "
                "there must be one of each per class"
            )

    def fractions(self) -> dict[str, float]:
        """Share of the image that each class covers, 0..1, for the classes that occur, largest first."""
        total = self.labels.size
        return {self.class_names[index]: float(pixels / total) for index, pixels in self._count_pixels()}

    def _count_pixels(self) -> list[tuple[int, int]]:
        """(class, number of pixels) of the classes that occur, largest first."""
        flat = self.labels.reshape(-1)
        counts = np.zeros(max(len(self.class_names), int(flat.max()) + 1), np.int64)
        for start in range(0, flat.size, _STRIP_PIXELS):
            counts += np.bincount(flat[start : start + _STRIP_PIXELS], minlength=len(counts))
        order = np.argsort(-counts, kind="stable")
        return [(int(index), int(counts[index])) for index in order if counts[index]]

    def confidence(self) -> NDArray[np.float32]:
        """(H, W) float32: the probability, 0..1, that the network gives to each pixel's label.

        Raises:
            UsageError: the image was answered in tiles, whose logits are not kept.
        """
        if self.logits is None:
            raise UsageError("a result of tiles does not hold its logits; use tile whole")
        scale = self.placement.scale_to(Size(*self.logits.shape[1:]))
        return full_resolution_confidence(self.logits, self.placement.image, scale=scale, align=self.align)

    def color(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB: every pixel in the color of its class."""
        return draw.colorize(self.labels, self.palette)

    def overlay(self, *, opacity: float = 0.5, legend: bool = False) -> Drawing:
        """The image under the colors of its classes.

        Args:
            opacity: of the colors, 0 to 1.
            legend: add the names of the classes that occur, the largest first.

        Raises:
            UsageError: the result does not hold the image.
        """
        if self.image is None:
            raise UsageError("this result does not hold its image; use color()")
        drawn = draw.overlay(self.image, self.labels, self.palette, opacity=opacity)
        if legend:
            found = [index for index, _ in self._count_pixels()]
            drawn = draw.add_legend(drawn, [self.class_names[index] for index in found], self.palette[found])
        return Drawing(drawn)

    def to_json(self) -> dict[str, Any]:
        """Size and fractions, ready for JSON."""
        height, width = self.labels.shape
        return {
            "height": height,
            "width": width,
            "fractions": {name: round(share, 6) for name, share in self.fractions().items()},
        }

    def write(self, form: str, target: Path) -> list[Path]:
        """Writes one format; see `Result.write`."""
        match form:
            case "overlay":
                self.overlay().save(target)
            case "labels":
                indexed = self.labels.dtype == np.uint8 and len(self.palette) <= 256
                imaging.save(self.labels, target, palette=self.palette if indexed else None)
            case "color":
                imaging.save(self.color(), target)
            case "json":
                write_json(self.to_json(), target, indent=1)
        return [target]


class Segmentation(TileableTask[NDArray[np.uint8], SegmentationResult]):
    """Pre- and postprocessing of a segmentation model.

    Args:
        class_names: one per channel of the network's output.
        palette: (classes, 3) uint8 RGB.
        size: the working size.
        multiple: sides of the network's input are multiples of this.
        resize: how images are resized to the working size.
        align: how logits are upsampled.
        channels: of the image.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        palette: NDArray[np.uint8],
        *,
        size: SizePolicy,
        multiple: int = 32,
        resize: imaging.ResizeKind = "pil_bilinear",
        align: Align = "bilinear",
        channels: int = 3,
    ) -> None:
        if len(class_names) != len(palette):
            raise ValueError(f"{len(class_names)} class names for {len(palette)} colors")
        self.class_names = tuple(class_names)
        self.palette = palette
        self.size = size
        self.multiple = multiple
        self.resize = resize
        self.align = align
        self.channels = channels

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """One function: images with values 0..255 -> logits at an eighth of their size."""
        image = TensorSpec("image", "uint8", ("batch", "height", "width", self.channels), Example("image"))
        logits = TensorSpec("logits", "float32", ("batch", len(self.class_names), "rows", "columns"))
        return {"forward": Signature((image,), (logits,))}

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[dict[str, NDArray[Any]], Placement]:
        """(H, W, 3) uint8 RGB -> {"image": (1, H', W', 3) uint8}, and where the image is in it.

        Raises:
            ImageError: the working size would be too large.
        """
        fitted, placement = imaging.resize_and_pad(image, self.size, multiple=self.multiple, kind=self.resize)
        return {"image": fitted[None]}, placement

    def postprocess(
        self, raw: Arrays, placement: Placement, image: NDArray[np.uint8] | None = None
    ) -> SegmentationResult:
        """{"logits": (1, classes, h, w)} -> labels at the image's own size, by the exact label map.

        Raises:
            InputError: logits that are not finite.
            ValueError: logits of another shape.
        """
        (spec,) = self.signatures["forward"].outputs
        spec.check(raw[spec.name])
        (logits,) = raw[spec.name]
        check_finite(logits)
        scale = placement.scale_to(Size(*logits.shape[1:]))
        labels = full_resolution_labels(logits, placement.image, scale=scale, align=self.align)
        return SegmentationResult(labels, self.class_names, self.palette, logits, placement, image, self.align)

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that are computed and then cut off."""
        return -(-_HALO_PX // self.multiple) * self.multiple

    def measure(self, image: NDArray[np.uint8]) -> Size:
        """Height and width of an image."""
        return Size.of(image)

    def crop(self, image: NDArray[np.uint8], rows: slice, columns: slice) -> NDArray[np.uint8]:
        """A window of an image."""
        return np.ascontiguousarray(image[rows, columns])

    def make_canvas(self, image: NDArray[np.uint8]) -> _LabelCanvas:
        """An empty label map for an image."""
        return _LabelCanvas(self, image)


class _LabelCanvas:
    """The labels of an image, tile by tile."""

    def __init__(self, task: Segmentation, image: NDArray[np.uint8]) -> None:
        self._task = task
        self._image = image
        dtype = np.uint8 if len(task.class_names) <= 256 else np.uint16
        self._labels: NDArray[Any] = np.zeros(image.shape[:2], dtype)

    def paste(self, part: SegmentationResult, tile: Tile) -> None:
        self._labels[tile.outer(1)] = part.labels[tile.inner(1)]

    def finish(self) -> SegmentationResult:
        task, size = self._task, Size.of(self._image)
        whole = Placement(size, size, size)
        return SegmentationResult(
            self._labels, task.class_names, task.palette, None, whole, self._image, task.align
        )


def make_segmentation_task(manifest: Manifest, size: str | None = None) -> Segmentation:
    """The task of a model that describes itself.

    Args:
        manifest: of the model.
        size: overrides the manifest's size policy; "published" is the paper's evaluation to the letter:
            its working size, OpenCV's bicubic resize, logits upsampled bicubically.

    Raises:
        UsageError: not a size policy.
    """
    published = size == "published"
    policy = SizePolicy.parse(manifest.published_size if published else size or manifest.size)
    palette = np.array(manifest.palette, np.uint8).reshape(-1, 3)
    if not len(palette):
        palette = draw.make_palette(len(manifest.class_names))
    return Segmentation(
        manifest.class_names,
        palette,
        size=policy,
        multiple=manifest.multiple,
        resize="cv2_cubic" if published else manifest.resize,
        align="bicubic" if published else "bilinear",
        channels=len(manifest.mean),
    )
