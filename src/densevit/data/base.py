"""What a data set is, and how its label pictures are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from densevit import imaging
from densevit.core.errors import InputError
from densevit.core.messages import first_line
from densevit.imaging import Size
from densevit.masks import RLE

_LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")
"""Formats of label pictures: JPEG would change the values."""


class DataError(InputError):
    """A data set is not laid out as it should be; the message says what was looked for and where."""


@dataclass(frozen=True)
class SegmentationSample:
    """One picture and its true labels: (H, W, 3) uint8 RGB and (H, W) uint8, 255 where unknown."""

    name: str
    picture: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class ClassificationSample:
    """One picture, (H, W, 3) uint8 RGB, and the index of its true class."""

    name: str
    picture: NDArray[np.uint8]
    label: int


@dataclass(frozen=True)
class HighResolutionSample:
    """One picture, (H, W, 3) uint8 RGB, that super-resolution is to restore."""

    name: str
    picture: NDArray[np.uint8]


@dataclass(frozen=True)
class PromptableSample:
    """One picture and the objects that are outlined in it, N of them, of which there may be none.

    Attributes:
        name: of the picture's file.
        picture: (H, W, 3) uint8 RGB.
        masks: one of (H, W) per object.
        boxes: (N, 4) float32 (x0, y0, x1, y1) in pixels, as annotated: not whole, a little off the masks' own.
        areas: (N,) float64 in pixels, as annotated: of COCO's polygons, not of their pixels.
        ids: (N,) int64 numbers of the annotations.
        image_id: the picture's number.
    """

    name: str
    picture: NDArray[np.uint8]
    masks: tuple[RLE, ...]
    boxes: NDArray[np.float32]
    areas: NDArray[np.float64]
    ids: NDArray[np.int64]
    image_id: int


@runtime_checkable
class SegmentationData(Protocol):
    """Pictures with labels, read one at a time."""

    class_names: tuple[str, ...]
    palette: NDArray[np.uint8]

    def __len__(self) -> int:
        """How many samples."""
        ...

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample."""
        ...


class ClassificationData(Protocol):
    """Pictures with one class each, read one at a time."""

    class_names: tuple[str, ...]

    def __len__(self) -> int:
        """How many samples."""
        ...

    def __getitem__(self, index: int) -> ClassificationSample:
        """Reads one sample."""
        ...


class HighResolutionData(Protocol):
    """Pictures without labels, read one at a time."""

    def __len__(self) -> int:
        """How many samples."""
        ...

    def __getitem__(self, index: int) -> HighResolutionSample:
        """Reads one sample."""
        ...


@runtime_checkable
class PromptableData(Protocol):
    """Pictures with outlined objects, read one at a time.

    Attributes:
        task: "promptable", by which such data are told from other pictures without classes.
    """

    task: Literal["promptable"]

    def __len__(self) -> int:
        """How many samples."""
        ...

    def __getitem__(self, index: int) -> PromptableSample:
        """Reads one sample."""
        ...


AnyData = SegmentationData | ClassificationData | HighResolutionData | PromptableData
"""Whatever a model can be evaluated on."""


def read_label_picture(path: Path, *, remedy: str = "turn colours into class indices first") -> NDArray[np.uint8]:
    """The stored values of a single-channel 8-bit label picture, (H, W) uint8; palettes are not applied.

    Args:
        path: PNG, TIFF, BMP or GIF.
        remedy: what to do about a picture with other channels.

    Raises:
        DataError: not such a picture.
    """
    with _opened(path) as picture:
        if picture.mode not in ("L", "P"):
            raise DataError(f"{path}: label pictures have one 8-bit channel, this one is {picture.mode}; {remedy}")
        return np.array(picture)


def read_colour_labels(path: Path) -> NDArray[np.uint8]:
    """The colours of a label picture whose classes are colours, (H, W, 3) uint8 RGB.

    Raises:
        DataError: not a lossless RGB picture.
    """
    with _opened(path) as picture:
        if picture.mode != "RGB":
            raise DataError(f"{path}: these label pictures are RGB, one colour per class; got {picture.mode}")
        return np.array(picture)


def picture_size(path: Path) -> Size:
    """(height, width) from the header of a PNG or TIFF picture; nothing is decoded.

    Raises:
        DataError: not such a picture, or too large a one.
    """
    with _opened(path, "picture") as picture:
        return Size(picture.height, picture.width)


@contextmanager
def _opened(path: Path, what: str = "label picture") -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Pillow warns of sizes that could be an attack, and refuses twice that
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_LOSSLESS) as picture:
                yield picture
    except DataError:
        raise
    except Exception as error:  # a decoder raises some ten kinds on damaged data
        raise DataError(f"{path}: cannot be read as a {what} ({first_line(error)})") from error


def read_pair(name: str, picture: Path, labels_file: Path, labels: NDArray[np.uint8]) -> SegmentationSample:
    """A picture together with its labels.

    Args:
        name: of the sample.
        picture: the picture's file.
        labels_file: where the labels came from, for messages.
        labels: (H, W) classes and 255.

    Raises:
        DataError: labels of another size than the picture.
        PictureError: a picture that cannot be read.
    """
    pixels = imaging.read(picture)
    if labels.shape != pixels.shape[:2]:
        raise DataError(
            f"{labels_file}: labels are {labels.shape}, the picture {picture.name} is {pixels.shape[:2]}; "
            "both must come from the same release and must not be resized apart"
        )
    return SegmentationSample(name, pixels, labels)


def pictures_in(folder: Path, *, recursive: bool = False) -> list[Path]:
    """The pictures of a folder by name, in order; with `recursive` those of its sub-folders too.

    Raises:
        DataError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = folder.rglob("*") if recursive else folder.iterdir()
    # a leading dot is a system's own file about the picture, such as macOS's ._a.jpg
    found = sorted(p for p in paths if p.suffix.lower() in imaging.SUFFIXES and not p.name.startswith("."))
    if not found:
        raise DataError(f"{folder}: no picture in it (looked for {', '.join(imaging.SUFFIXES)})")
    return found
