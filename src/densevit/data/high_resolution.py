"""High-resolution images for super-resolution; the low-resolution input is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from densevit import imaging
from densevit.data.base import DataError, HighResolutionSample, list_images
from densevit.data.layout import describe_contents


class HighResolution:
    """High-resolution images, such as those of BSD100, Set5 or DIV2K; lossless formats give meaningful scores.

    Args:
        paths: the image files.
    """

    task: ClassVar[str] = "super_resolution"

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._paths)

    def __getitem__(self, index: int) -> HighResolutionSample:
        """Reads one image.

        Raises:
            ImageError: the image cannot be read.
        """
        path = self._paths[index]
        return HighResolutionSample(path.name, imaging.read(path))


def open_high_resolution(root: Path, split: str) -> HighResolution:
    """Opens the images of a folder and its sub-folders, or of the sub-folder named after the split if there is
    one.

    Raises:
        DataError: the folder is missing or has no image.
    """
    folder = root / split if (root / split).is_dir() else root
    try:
        return HighResolution(list_images(folder, recursive=True))
    except DataError as error:
        raise DataError(
            f"{error}; it holds {describe_contents(folder)}" if folder.is_dir() else str(error)
        ) from error
