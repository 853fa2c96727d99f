"""High-resolution images, of which super-resolution is evaluated: the low resolution is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from densevit import imaging
from densevit.data.base import DataError, HighResolutionSample, list_images
from densevit.data.layout import describe_contents


class HighResolution:
    """Images in any lossless format, such as those of BSD100, Set5 or DIV2K.

    Args:
        paths: the files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def __len__(self) -> int:
        """How many images."""
        return len(self._paths)

    def __getitem__(self, index: int) -> HighResolutionSample:
        """Reads one image.

        Raises:
            ImageError: it cannot be read.
        """
        path = self._paths[index]
        return HighResolutionSample(path.name, imaging.read(path))


def high_resolution(root: Path, split: str) -> HighResolution:
    """The images of a folder and its sub-folders; where a sub-folder is named after the split, only its own.

    Raises:
        DataError: no image there.
    """
    folder = root / split if (root / split).is_dir() else root
    try:
        return HighResolution(list_images(folder, recursive=True))
    except DataError as error:
        raise DataError(
            f"{error}; it holds {describe_contents(folder)}" if folder.is_dir() else str(error)
        ) from error
