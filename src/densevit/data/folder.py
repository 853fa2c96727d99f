"""Own images: a folder of images, a folder of masks, a list of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densevit.core.messages import first_line
from densevit.data.base import DataError, SegmentationSample, list_images, read_label_image, read_pair
from densevit.data.layout import check_labels, list_folders, require_folder
from densevit.data.values import make_value_table, map_values
from densevit.imaging.draw import make_palette
from densevit.metrics import IGNORE

MAX_CLASSES = 254
"""Masks have 8 bits, 255 is ignored, and 254 marks values that no mask may hold."""
_MAX_LIST_BYTES = 1_000_000
_LAYOUT = "images/*.jpg, masks/*.png, classes.txt; with splits images/SPLIT/ and masks/SPLIT/"


class FolderData:
    """`root/images/*.jpg|png|...`, `root/masks/*.png` of the same names, `root/classes.txt`.

    With splits: `images/{split}/` and `masks/{split}/`; without, every split is all of it. `classes.txt` has a
    line per class: "name", or "name r g b" with a color. A mask holds the number of its line, from 0, and 255
    where nothing is known.

    Args:
        root: the folder.
        split: a sub-folder of images and masks, where there are such.

    Raises:
        DataError: the folders are not there, an image has no mask, or the list of classes is none.
    """

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
        """How many samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one sample.

        Raises:
            DataError: a mask with a value that is no class, or of another size than the image.
        """
        path = self.masks[index]
        count = len(self.class_names)
        allowed = f"classes.txt has lines 0..{count - 1}, and 255 is ignored; renumber the mask or add the class"
        labels = map_values(read_label_image(path), self._table, path=path, allowed=allowed)
        return read_pair(path.stem, self.images[index], path, labels)


def read_classes(path: Path, *, most: int | None = MAX_CLASSES) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """-> names, and (classes, 3) uint8 RGB colors, made up where the list gives none.

    Args:
        path: the list.
        most: classes that are allowed, None for any number.

    Raises:
        DataError: not there, empty, too long, names twice, or colors for some classes only.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; write the names of the classes into it, one a line")
    if path.stat().st_size > _MAX_LIST_BYTES:
        raise DataError(f"{path}: more than {_MAX_LIST_BYTES:,} bytes; it should hold one class name a line")
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({first_line(error)})") from error
    entries = [_entry(line) for line in lines]
    names = tuple(name for name, _ in entries)
    if not names:
        raise DataError(f"{path}: is empty; write the names of the classes into it, one a line")
    if most is not None and len(names) > most:
        raise DataError(f"{path}: {len(names)} classes; masks with 8 bits hold at most {most}: merge some")
    for number, name in enumerate(names):
        if not name:
            raise DataError(f"{path}: line {number + 1} is empty; each line is a class, remove it or name it")
        if name in names[:number]:
            raise DataError(f"{path}: {name!r} stands there twice; names must differ")
    colors = [color for _, color in entries if color is not None]
    if 0 < len(colors) < len(names):
        bare = next(name for name, color in entries if color is None)
        raise DataError(f"{path}: {bare!r} has no color but other classes have; give all or none ('name r g b')")
    return names, np.array(colors, np.uint8) if colors else make_palette(len(names))


def _entry(line: str) -> tuple[str, tuple[int, int, int] | None]:
    """A class may be called "zone 3", so a color is three levels after a name."""
    words = line.split()
    levels = [int(word) for word in words[-3:] if word.isascii() and word.isdigit()]
    if len(words) > 3 and len(levels) == 3 and max(levels) <= 255:
        return " ".join(words[:-3]), (levels[0], levels[1], levels[2])
    return " ".join(words), None
