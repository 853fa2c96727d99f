"""Your own data: a folder of images, a folder of masks, a list of classes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from densevit.core.messages import first_line
from densevit.data.base import DataError, SegmentationSample, list_images, read_label_image, read_pair
from densevit.data.layout import check_labels, list_folders, require_folder
from densevit.data.values import make_value_table, map_values
from densevit.imaging.draw import make_palette
from densevit.metrics import IGNORE

MAX_CLASSES = 254
"""Masks have 8 bits, 255 is ignored, and 254 marks invalid values internally."""
_MAX_LIST_BYTES = 1_000_000
_LAYOUT = "images/*.jpg, masks/*.png, classes.txt; with splits images/SPLIT/ and masks/SPLIT/"


class FolderData:
    """Your own data: `root/images/*.jpg|png|...`, `root/masks/*.png` of the same names, `root/classes.txt`.

    The images and masks of a split are in `images/{split}/` and `masks/{split}/`; without such folders every split
    is the whole data set. `classes.txt` has one line per class: "name", or "name r g b" with a color. A mask holds
    the line number of the class, counted from 0, or 255 for unlabeled pixels.

    Args:
        root: folder of the data set.
        split: sub-folder of images and masks, if they have sub-folders.

    Raises:
        DataError: a folder is missing, an image has no mask, or the list of classes is invalid.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, root: Path, split: str) -> None:
        folder = require_folder(root, "images", layout=_LAYOUT)
        masks = require_folder(root, "masks", layout=_LAYOUT)
        self.class_names, self.palette = read_classes(root / "classes.txt")
        if splits := list_folders(folder):
            folder = require_folder(folder, split, layout=_LAYOUT, splits=splits)
            masks = require_folder(masks, split, layout=_LAYOUT, splits=list_folders(masks))
        self.images = list_images(folder)
        self.masks = [masks / f"{path.stem}.png" for path in self.images]
        check_labels(self.masks, folder=masks, remedy="a mask is a PNG with the name of its image")
        self._table = make_value_table({value: value for value in range(len(self.class_names))}, ignored=[IGNORE])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample.

        Raises:
            DataError: the mask has a value without a class, or another size than the image.
        """
        path = self.masks[index]
        count = len(self.class_names)
        allowed = f"classes.txt has lines 0..{count - 1}, and 255 is ignored; renumber the mask or add the class"
        labels = map_values(read_label_image(path), self._table, path=path, allowed=allowed)
        return read_pair(path.stem, self.images[index], path, labels)


def read_classes(path: Path, *, most: int | None = MAX_CLASSES) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Reads names and (classes, 3) uint8 RGB colors; without colors in the list, densevit chooses them.

    Args:
        path: the list.
        most: largest number of classes, None for any number.

    Raises:
        DataError: the list is missing, empty or too long, has a name twice, or colors for only some classes.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; create it with one class name per line")
    if path.stat().st_size > _MAX_LIST_BYTES:
        raise DataError(f"{path}: more than {_MAX_LIST_BYTES:,} bytes; it should hold one class name per line")
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({first_line(error)})") from error
    entries = [_parse_entry(line) for line in lines]
    names = tuple(name for name, _ in entries)
    if not names:
        raise DataError(f"{path}: is empty; write one class name per line")
    if most is not None and len(names) > most:
        raise DataError(f"{path}: {len(names)} classes; 8-bit masks can hold at most {most}, so merge some")
    for number, name in enumerate(names):
        if not name:
            raise DataError(f"{path}: line {number + 1} is empty; remove it, or write a class name")
        if name in names[:number]:
            raise DataError(f"{path}: {name!r} occurs twice; names must be unique")
    colors = [color for _, color in entries if color is not None]
    if 0 < len(colors) < len(names):
        bare = next(name for name, color in entries if color is None)
        raise DataError(
            f"{path}: {bare!r} has no color, but other classes do; give all of them a color ('name r g b') or none"
        )
    return names, np.array(colors, np.uint8) if colors else make_palette(len(names))


def _parse_entry(line: str) -> tuple[str, tuple[int, int, int] | None]:
    """A line is a name, or a name and three color levels; "zone 3" is a name."""
    words = line.split()
    levels = [int(word) for word in words[-3:] if word.isascii() and word.isdigit()]
    if len(words) > 3 and len(levels) == 3 and max(levels) <= 255:
        return " ".join(words[:-3]), (levels[0], levels[1], levels[2])
    return " ".join(words), None
