"""What the two ISPRS sets share: big images, labels as colors, eroded labels that the benchmark scores on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from densevit.core.classes import read_class_table
from densevit.data.base import DataError, SegmentationSample, read_color_labels, read_pair, read_size
from densevit.data.layout import describe_contents, require_folder
from densevit.data.values import map_colors
from densevit.imaging import Size

_BLACK = (0, 0, 0)


@dataclass(frozen=True)
class IsprsLayout:
    """Where the files of a set are; `{}` stands for the area.

    Attributes:
        data_set: key of the class tables.
        images: folder of the images.
        image: name of an image.
        labels: folders of the labels by preference; the root itself comes last.
        label: name of a label image.
        eroded_labels: the same for eroded labels.
        eroded_label: name of an eroded one.
        areas: of each split, separated by spaces.
        archives: what to unpack.
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
    """Whole images and their labels; `Tiled` cuts them.

    Eroded labels leave out three pixels on either side of every boundary between classes: they are black
    there, and ignored.

    Args:
        root: the folder.
        split: "train" or "val".
        layout: of the set.
        eroded: whether to take the eroded labels, which the benchmark scores on; None takes them where they
            are there.

    Raises:
        DataError: folders or files are not there.
    """

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
            count = f"{len(missing)} of the {len(areas)} images of split {split} are not there"
            raise DataError(f"{missing[0]}: no such image ({count}); unpack {layout.archives}")
        eroded_files = _files(root, layout.eroded_labels, layout.eroded_label, areas)
        self.eroded = eroded if eroded is not None else any(path.is_file() for path in eroded_files)
        self.annotations = eroded_files if self.eroded else _files(root, layout.labels, layout.label, areas)
        if missing := [path for path in self.annotations if not path.is_file()]:
            places = ", ".join((*(layout.eroded_labels if self.eroded else layout.labels), "itself"))
            count = f"{len(missing)} of the {len(areas)} images of split {split} have none"
            raise DataError(
                f"{missing[0].name}: no labels for this image ({count}); looked in {root}: {places}; "
                f"it holds {describe_contents(root)}; unpack {layout.archives}"
            )

    def __len__(self) -> int:
        """How many images."""
        return len(self.images)

    def image_size(self, index: int) -> Size:
        """(height, width) of an image, from its header."""
        return read_size(self.images[index])

    def __getitem__(self, index: int) -> SegmentationSample:
        """Reads one whole image and its labels.

        Raises:
            DataError: a color of no class, or labels of another size than the image.
        """
        path = self.annotations[index]
        ignored = (_BLACK,) if self.eroded else ()
        labels = map_colors(read_color_labels(path), self._colors, ignored=ignored, path=path)
        return read_pair(self.images[index].stem, self.images[index], path, labels)


def _files(root: Path, folders: Sequence[str], name: str, areas: Sequence[str]) -> list[Path]:
    """One file per area: the first that is there, or where the first was looked for."""
    # archives unpacked by a click land in a folder of their own name; some hold one of that name again
    places = [*(root / folder for folder in folders), *(root / folder / folder for folder in folders), root]
    found = []
    for area in areas:
        paths = [place / name.format(area) for place in places]
        found.append(next((path for path in paths if path.is_file()), paths[0]))
    return found
