"""Instance annotations in the form of COCO (Lin et al. 2014): pictures, and the objects in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.data import coco_tools
from densevit.data.base import DataError, PromptableSample
from densevit.data.json_files import Fields, read_json
from densevit.imaging import DEFAULT_MAX_PIXELS, Size
from densevit.imaging.reading import as_rgb, decode, opened
from densevit.masks import RLE, MaskError

_MOST_BYTES = 2 * 2**30
"""Of an annotation file: the largest published one, LVIS's of the training pictures, has about half of it."""

_MOST_SIDE_PX = 100_000

_LEAST_AREA = 1.0
"""Smaller objects are left out, as the evaluation of EfficientViT-SAM does."""


@dataclass(frozen=True, slots=True)
class AnnotatedPicture:
    """A picture that annotations are about: its number, its size, its path below the folder of pictures."""

    id: int
    size: Size
    path: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """An object: its box (x0, y0, x1, y1), its area in pixels, and its outline as it stands in the file.

    `crowd` tells of several objects that are outlined together.
    """

    where: str
    id: int
    image_id: int
    category_id: int
    box: tuple[float, float, float, float]
    area: float
    crowd: bool
    segmentation: Any

    def mask(self, size: Size) -> RLE:
        """The object's mask in its picture.

        Raises:
            DataError: no mask, or one of another size.
        """
        if isinstance(self.segmentation, list):
            return coco_tools.rasterised(self.segmentation, size, where=self.where)
        try:
            mask = RLE.from_coco(self.segmentation)
        except MaskError as error:
            raise DataError(f"{self.where}: {error}") from error
        if mask.size != tuple(size):
            raise DataError(f"{self.where}: a mask of {Size(*mask.size)} in a picture of {size}")
        return mask


@dataclass(frozen=True)
class Instances:
    """What an annotation file holds: pictures by number, the objects of each, numbers of the categories."""

    path: Path
    pictures: dict[int, AnnotatedPicture]
    objects: dict[int, list[Annotation]]
    categories: tuple[int, ...]


def read_instances(path: Path, picture_path: Callable[[Fields], str]) -> Instances:
    """The annotation file; outlines are checked when their masks are asked for.

    Args:
        path: such as instances_val2017.json.
        picture_path: of an entry of "images", where the picture lies; may raise a DataError.

    Raises:
        DataError: not such a file; says what is wrong where.
    """
    file = Fields(read_json(path, max_bytes=_MOST_BYTES), str(path))
    pictures: dict[int, AnnotatedPicture] = {}
    for entry in file.objects("images"):
        size = Size(*(entry.whole(side, least=1, most=_MOST_SIDE_PX) for side in ("height", "width")))
        picture = AnnotatedPicture(entry.whole("id"), size, picture_path(entry))
        if pictures.setdefault(picture.id, picture) is not picture:
            raise entry.refuse("id", "another than that of the pictures before")
    categories = tuple(entry.whole("id") for entry in file.objects("categories"))
    known = set(categories)
    objects: dict[int, list[Annotation]] = {number: [] for number in pictures}
    seen: set[int] = set()
    for entry in file.objects("annotations"):
        annotation = _annotation(entry)
        if annotation.image_id not in pictures:
            raise entry.refuse("image_id", "the id of one of the images")
        if annotation.category_id not in known:
            raise entry.refuse("category_id", "the id of one of the categories")
        if annotation.id in seen:
            raise entry.refuse("id", "another than that of the annotations before")
        seen.add(annotation.id)
        objects[annotation.image_id].append(annotation)
    return Instances(path, pictures, objects, categories)


def _annotation(entry: Fields) -> Annotation:
    if not isinstance(entry.get("segmentation"), list | dict):
        raise entry.refuse("segmentation", "polygons or run lengths")
    return Annotation(
        where=entry.where,
        id=entry.whole("id"),
        image_id=entry.whole("image_id"),
        category_id=entry.whole("category_id"),
        box=entry.box("bbox"),
        area=entry.number("area", least=0),
        crowd=entry.whole("iscrowd", most=1) > 0 if entry.get("iscrowd") is not None else False,
        segmentation=entry.get("segmentation"),
    )


def plain_name(entry: Fields, name: str, text: str) -> str:
    """The text of a field as the name of a picture's file, which leads to no other folder.

    Raises:
        DataError: it is no such name.
    """
    plain = Path(text).name == text and not text.startswith(".") and text.isprintable()
    if not plain or set(text) & set("/\\:") or Path(text).suffix.lower() not in imaging.SUFFIXES:
        raise entry.refuse(name, f"a picture's file name ({', '.join(imaging.SUFFIXES)})")
    return text


class InstanceData:
    """Annotated pictures in a folder, as samples with one mask per object.

    Args:
        instances: what is annotated.
        folder: holds the pictures.
        empty: whether pictures without any object are kept; a detector's boxes are judged on them too.

    Raises:
        DataError: pictures are missing.
    """

    task: Literal["promptable"] = "promptable"

    def __init__(self, instances: Instances, folder: Path, *, empty: bool = True) -> None:
        self.annotations = instances.path
        self._folder = folder
        self._pictures = list(instances.pictures.values())
        self._objects = {
            number: [annotation for annotation in annotations if annotation.area >= _LEAST_AREA]
            for number, annotations in instances.objects.items()
        }
        if not empty:
            self._pictures = [picture for picture in self._pictures if self._objects[picture.id]]
        missing = [picture for picture in self._pictures if not (folder / picture.path).is_file()]
        if missing:
            raise DataError(
                f"{folder / missing[0].path}: no such file ({len(missing)} of {len(self._pictures)} pictures of "
                f"{instances.path.name} are missing); fetch them, or take them out of the annotations"
            )

    def __len__(self) -> int:
        """How many pictures."""
        return len(self._pictures)

    def __getitem__(self, index: int) -> PromptableSample:
        """Reads one picture, and the masks of its objects, of which there may be none.

        Raises:
            DataError: the picture has another size than its annotations, or an outline is none.
            PictureError: a picture that cannot be read.
        """
        picture = self._pictures[index]
        pixels = read_stored(self._folder / picture.path, picture.size)
        return promptable_sample(picture, pixels, self._objects[picture.id])


def promptable_sample(
    picture: AnnotatedPicture, pixels: NDArray[np.uint8], objects: Sequence[Annotation]
) -> PromptableSample:
    """A picture and its objects.

    Raises:
        DataError: an outline is none.
    """
    return PromptableSample(
        name=picture.path,
        picture=pixels,
        masks=tuple(annotation.mask(picture.size) for annotation in objects),
        boxes=np.array([annotation.box for annotation in objects], np.float32).reshape(-1, 4),
        areas=np.array([annotation.area for annotation in objects], np.float64),
        ids=np.array([annotation.id for annotation in objects], np.int64),
        image_id=picture.id,
    )


def read_stored(path: Path, size: Size) -> NDArray[np.uint8]:
    """The picture as it is stored, (H, W, 3) uint8 RGB: annotations do not know of EXIF's orientation.

    Raises:
        DataError: a picture of another size.
        PictureError: a picture that cannot be read.
    """
    with opened(path, max_pixels=DEFAULT_MAX_PIXELS) as (image, name):
        decode(image)
        pixels = np.array(as_rgb(image, name))
    if (stored := Size.of(pixels)) != size:
        raise DataError(f"{path}: is {stored}, its annotations are for {size}; fetch the original picture")
    return pixels
