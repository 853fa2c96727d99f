"""The interface of data sets, and how their label images are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.core.errors import InputError
from densevit.core.messages import first_line
from densevit.imaging import ImageError, Size
from densevit.imaging.reading import decode, open_image
from densevit.masks import RLE

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")
"""Formats of label images: JPEG would change the values."""

_AS_PUBLISHED = "take the file as it was published"


class DataError(InputError):
    """A data set has another layout than expected; the message says what was looked for and where."""


@dataclass(frozen=True)
class SegmentationSample:
    """One image and its true labels: (H, W, 3) uint8 RGB and (H, W) uint8, 255 where unknown."""

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class ClassificationSample:
    """One image, (H, W, 3) uint8 RGB, and the index of its true class."""

    name: str
    image: NDArray[np.uint8]
    label: int


@dataclass(frozen=True)
class HighResolutionSample:
    """One image, (H, W, 3) uint8 RGB, that super-resolution has to restore."""

    name: str
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class PromptableSample:
    """One image and the N objects outlined in it; N may be 0.

    Attributes:
        name: of the image's file.
        image: (H, W, 3) uint8 RGB.
        masks: one (H, W) mask per object.
        boxes: (N, 4) float32 (x0, y0, x1, y1) in pixels, as annotated: fractions, slightly off the masks' boxes.
        areas: (N,) float64 in pixels, as annotated: areas of COCO's polygons, not numbers of pixels.
        ids: (N,) int64 numbers of the annotations.
        image_id: the image's number.
    """

    name: str
    image: NDArray[np.uint8]
    masks: tuple[RLE, ...]
    boxes: NDArray[np.float32]
    areas: NDArray[np.float64]
    ids: NDArray[np.int64]
    image_id: int


@runtime_checkable
class SegmentationData(Protocol):
    """Images with labels, read one at a time."""

    class_names: tuple[str, ...]
    palette: NDArray[np.uint8]

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample."""
        ...


class ClassificationData(Protocol):
    """Images with one class each, read one at a time."""

    class_names: tuple[str, ...]

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> ClassificationSample:
        """Reads one sample."""
        ...


class HighResolutionData(Protocol):
    """Images without labels, read one at a time."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> HighResolutionSample:
        """Reads one sample."""
        ...


@runtime_checkable
class PromptableData(Protocol):
    """Images with outlined objects, read one at a time.

    Attributes:
        task: "promptable", which tells such data from other images without classes.
    """

    task: Literal["promptable"]

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> PromptableSample:
        """Reads one sample."""
        ...


AnyData = SegmentationData | ClassificationData | HighResolutionData | PromptableData
"""All data that a model can be evaluated on."""


def read_label_image(path: Path, *, remedy: str = "turn colors into class indices first") -> NDArray[np.uint8]:
    """The stored values of a single-channel 8-bit label image, (H, W) uint8; palettes are not applied.

    Args:
        path: PNG, TIFF, BMP or GIF.
        remedy: what to do about an image with other channels.

    Raises:
        DataError: not such an image.
    """
    with _open_lossless(path) as image:
        if image.mode not in ("L", "P"):
            raise DataError(f"{path}: label images have one 8-bit channel, this one is {image.mode}; {remedy}")
        decode(image)
        return np.array(image)


def read_color_labels(path: Path) -> NDArray[np.uint8]:
    """The colors of a label image whose classes are colors, (H, W, 3) uint8 RGB.

    Raises:
        DataError: not a lossless RGB image.
    """
    with _open_lossless(path) as image:
        if image.mode != "RGB":
            raise DataError(
                f"{path}: these label images are RGB, one color per class, this one is {image.mode}; "
                f"{_AS_PUBLISHED}"
            )
        decode(image)
        return np.array(image)


def read_size(path: Path) -> Size:
    """(height, width) from the header of a PNG or TIFF image; no pixel is decoded.

    Raises:
        DataError: not such an image, or one that is too large.
    """
    with _open_lossless(path, "image") as image:
        return Size(image.height, image.width)


@contextmanager
def _open_lossless(path: Path, what: str = "label image") -> Iterator[PillowImage]:
    """Open a lossless image; its pixels are not decoded."""
    try:
        with open_image(path, max_pixels=imaging.DEFAULT_MAX_PIXELS) as (image, _):
            if image.format not in _LOSSLESS:
                allowed = ", ".join(_LOSSLESS)
                raise DataError(
                    f"{path}: a {what} here is one of {allowed}, this one is {image.format}; {_AS_PUBLISHED}"
                )
            yield image
    except ImageError as error:
        # the remedy of an ImageError, such as another format, is for images and not for labels
        reason = (
            first_line(error.__cause__) if error.__cause__ else str(error).partition(": ")[2].partition(";")[0]
        )
        raise DataError(f"{path}: cannot be read as a {what} ({reason}); {_AS_PUBLISHED}") from error


def read_pair(name: str, image: Path, labels_file: Path, labels: NDArray[np.uint8]) -> SegmentationSample:
    """An image together with its labels.

    Args:
        name: of the sample.
        image: the image's file.
        labels_file: the file of the labels, for messages.
        labels: (H, W) classes and 255.

    Raises:
        DataError: the labels and the image differ in size.
        ImageError: an image that cannot be read.
    """
    pixels = imaging.read(image)
    if labels.shape != pixels.shape[:2]:
        raise DataError(
            f"{labels_file}: labels are {Size.of(labels)}, the image {image.name} is {Size.of(pixels)}; "
            "take both from the same release, and do not resize one of them alone"
        )
    return SegmentationSample(name, pixels, labels)


def list_images(folder: Path, *, recursive: bool = False) -> list[Path]:
    """The images of a folder, sorted by name; with `recursive` those of its sub-folders too.

    Raises:
        DataError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; check the path")
    paths = folder.rglob("*") if recursive else folder.iterdir()
    # a name with a leading dot is a system's note about the image, such as macOS's ._a.jpg
    found = sorted(p for p in paths if p.suffix.lower() in imaging.SUFFIXES and not p.name.startswith("."))
    if not found:
        raise DataError(f"{folder}: no image in it (looked for {', '.join(imaging.SUFFIXES)})")
    return found
