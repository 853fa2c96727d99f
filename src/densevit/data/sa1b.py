"""SA-1B, the data of Segment Anything (Kirillov et al. 2023): images and the masks of everything in them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from densevit.data.base import DataError, PromptableSample
from densevit.data.instances import AnnotatedImage, Annotation, make_promptable_sample, read_stored
from densevit.data.json_files import Fields, read_json
from densevit.data.layout import check_labels, describe_contents
from densevit.imaging import Size

_MOST_BYTES = 2**28
"""Limit of the annotations of one image."""

_MOST_SIDE_PX = 100_000


class SA1B:
    """SA-1B's masks: each `root/**/sa_*.jpg` has a `sa_*.json` in the same folder.

    Args:
        root: folder of the data set.
        split: if `root` has a sub-folder of this name, only that is read.

    Raises:
        DataError: there is no image, or an image has no annotations.
    """

    task: Literal["promptable"] = "promptable"

    def __init__(self, root: Path, split: str) -> None:
        folder = root / split if (root / split).is_dir() else root
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        self._paths = sorted(folder.rglob("sa_*.jpg"))
        if not self._paths:
            raise DataError(f"{folder}: no sa_*.jpg in it; it holds {describe_contents(folder)}")
        labels = [path.with_suffix(".json") for path in self._paths]
        check_labels(labels, folder=folder, remedy="unpack the whole archive", pattern="sa_*.json")

    def __len__(self) -> int:
        """Number of images."""
        return len(self._paths)

    def __getitem__(self, index: int) -> PromptableSample:
        """Reads one image and its masks.

        Raises:
            DataError: the annotations are invalid or do not fit the image.
            ImageError: the image cannot be read.
        """
        path = self._paths[index]
        file = path.with_suffix(".json")
        fields = Fields(read_json(file, max_bytes=_MOST_BYTES), str(file))
        entry = fields.inner("image")
        size = Size(*(entry.whole(side, least=1, most=_MOST_SIDE_PX) for side in ("height", "width")))
        image = AnnotatedImage(entry.whole("image_id"), size, path.name)
        objects = [_parse_annotation(one, image.id) for one in fields.objects("annotations")]
        return make_promptable_sample(image, read_stored(path, size), [one for one in objects if one.area >= 1])


def _parse_annotation(entry: Fields, image_id: int) -> Annotation:
    return Annotation(
        where=entry.where,
        id=entry.whole("id"),
        image_id=image_id,
        category_id=0,
        box=entry.box("bbox"),
        area=entry.number("area", least=0),
        crowd=False,
        segmentation=entry.inner("segmentation").value,
    )
