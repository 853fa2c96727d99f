"""The common part of the two ISPRS data sets: large images, colored labels, eroded labels for the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from densevit.core.classes import read_class_table
from densevit.data.base import DataError, SegmentationSample, read_color_labels, read_pair, read_size
from densevit.data.layout import describe_contents, require_folder
from densevit.data.values import map_colors
from densevit.imaging import Size

_BLACK = (0, 0, 0)


@dataclass(frozen=True)
class IsprsLayout:
    """The files of a data set; `{}` is replaced by the area.

    Attributes:
        data_set: key of the class table.
        images: folder of the images.
        image: file name of an image.
        labels: folders of the labels in order of preference; the root itself is tried last.
        label: file name of a label image.
        eroded_labels: the same folders for eroded labels.
        eroded_label: file name of an eroded label image.
        areas: areas of each split, separated by spaces.
        archives: published archives to unpack, for messages.
    """

    data_set: str
    images: str
    image: str
    labels: tuple[str, ...]
    label: str
    eroded_labels: tuple[str, ...]
    eroded_label: str
    areas: dict[str, str]
    archives: str


class IsprsData:
    """Whole images and their labels; `Tiled` cuts them into tiles.

    Eroded labels are black within three pixels of every boundary between classes; these pixels are ignored.

    Args:
        root: folder of the data set.
        split: "train" or "val".
        layout: files of the data set.
        eroded: whether to read the eroded labels, which the benchmark scores on; None reads them if they exist.

    Raises:
        DataError: a folder or a file is missing.
    """

    task: ClassVar[str] = "segmentation"

    def __init__(self, root: Path, split: str, layout: IsprsLayout, *, eroded: bool | None = None) -> None:
        table = read_class_table(layout.data_set)
        self.class_names = table.names
        self.palette = table.palette
        self._colors = table.colors
        if split not in layout.areas:
            raise DataError(f"{root}: no split {split!r}; existing splits: {', '.join(layout.areas)}")
        areas = layout.areas[split].split()
        folder = require_folder(root, layout.images, layout=f"{layout.images}/{layout.image.format('*')}")
        self.images = [folder / layout.image.format(area) for area in areas]
        if missing := [path for path in self.images if not path.is_file()]:
            count = f"{len(missing)} of the {len(areas)} images of split {split} are missing"
            raise DataError(f"{missing[0]}: no such image ({count}); unpack {layout.archives}")
        eroded_files = _find_files(root, layout.eroded_labels, layout.eroded_label, areas)
        self.eroded = eroded if eroded is not None else any(path.is_file() for path in eroded_files)
        self.annotations = eroded_files if self.eroded else _find_files(root, layout.labels, layout.label, areas)
        if missing := [path for path in self.annotations if not path.is_file()]:
            places = ", ".join((*(layout.eroded_labels if self.eroded else layout.labels), "itself"))
            count = f"{len(missing)} of the {len(areas)} images of split {split} lack labels"
            raise DataError(
                f"{missing[0].name}: no labels for this image ({count}); looked in {root}: {places}; "
                f"it holds {describe_contents(root)}; unpack {layout.archives}"
            )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def image_size(self, index: int) -> Size:
        """(height, width) of an image, from its header."""
        return read_size(self.images[index])

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one whole image and its labels.

        Raises:
            DataError: the labels have a color without a class, or another size than the image.
        """
        path = self.annotations[index]
        ignored = (_BLACK,) if self.eroded else ()
        labels = map_colors(read_color_labels(path), self._colors, ignored=ignored, path=path)
        return read_pair(self.images[index].stem, self.images[index], path, labels)


def _find_files(root: Path, folders: Sequence[str], name: str, areas: Sequence[str]) -> list[Path]:
    """One path per area: the first existing file, or the first place that was searched."""
    # desktop tools unpack an archive into a folder of its name; some archives contain a folder of that name again
    places = [*(root / folder for folder in folders), *(root / folder / folder for folder in folders), root]
    found = []
    for area in areas:
        paths = [place / name.format(area) for place in places]
        found.append(next((path for path in paths if path.is_file()), paths[0]))
    return found
