"""What a data set is, and how its label pictures are read."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from densevit import imaging
from densevit.messages import first_line


class DataError(ValueError):
    """A data set is not laid out as it should be; the message says what was looked for and where."""


@dataclass(frozen=True)
class SegmentationSample:
    """One picture and its true labels: (H, W, 3) uint8 RGB and (H, W) uint8, 255 where unknown."""

    name: str
    picture: NDArray[np.uint8]
    labels: NDArray[np.uint8]


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


def read_label_picture(path: Path) -> NDArray[np.uint8]:
    """The stored values of a single-channel 8-bit label picture, (H, W) uint8; palettes are not applied.

    Raises:
        DataError: not such a picture.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of sizes that could be an attack, and refuses twice that
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "TIFF", "BMP", "GIF")) as picture:
                if picture.mode not in ("L", "P"):
                    raise DataError(f"{path}: label pictures have one 8-bit channel, this one is {picture.mode}")
                return np.array(picture)
    except DataError:
        raise
    except Exception as error:  # a decoder raises some ten kinds on damaged data
        raise DataError(f"{path}: cannot be read as a label picture ({first_line(error)})") from error


def pictures_in(folder: Path, *, recursive: bool = False) -> list[Path]:
    """The pictures of a folder by name, in order; with `recursive` those of its sub-folders too.

    Raises:
        DataError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = folder.rglob("*") if recursive else folder.iterdir()
    found = sorted(path for path in paths if path.suffix.lower() in imaging.SUFFIXES)
    if not found:
        raise DataError(f"{folder}: no picture in it (looked for {', '.join(imaging.SUFFIXES)})")
    return found
