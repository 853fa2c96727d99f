"""Instance annotations in COCO's format (Lin et al. 2014): images and the objects in them."""

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
from densevit.imaging.reading import convert_to_rgb, decode, open_image
from densevit.masks import RLE, MaskError

_MOST_BYTES = 2 * 2**30
"""Limit of an annotation file; the largest published one, LVIS's training annotations, has about half of it."""

_MOST_SIDE_PX = 100_000

_LEAST_AREA = 1.0
"""Smaller objects are left out, as in EfficientViT-SAM's evaluation."""


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An annotated image: its id, its size, and its path relative to the folder of images."""

    id: int
    size: Size
    path: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotated object: its box (x0, y0, x1, y1), its area in pixels, and its mask as the file stores it.

    `crowd` marks several objects that share one outline.
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
        """The object's mask.

        Raises:
            DataError: the mask is invalid, or its size is not the image's.
        """
        if isinstance(self.segmentation, list):
            return coco_tools.rasterize(self.segmentation, size, where=self.where)
        try:
            mask = RLE.from_coco(self.segmentation)
        except MaskError as error:
            raise DataError(f"{self.where}: {error}") from error
        if mask.size != tuple(size):
            raise DataError(f"{self.where}: the mask is {Size(*mask.size)}, but the image is {size}")
        return mask


@dataclass(frozen=True)
class Instances:
    """The content of an annotation file: images by id, objects by image id, ids of the categories."""

    path: Path
    images: dict[int, AnnotatedImage]
    objects: dict[int, list[Annotation]]
    categories: tuple[int, ...]


def read_instances(path: Path, image_path: Callable[[Fields], str]) -> Instances:
    """Reads an annotation file; masks are checked when they are read.

    Args:
        path: file such as instances_val2017.json.
        image_path: returns the path of the image for an entry of "images"; may raise a DataError.

    Raises:
        DataError: the file is invalid; the message says what is wrong and where.
    """
    file = Fields(read_json(path, max_bytes=_MOST_BYTES), str(path))
    images: dict[int, AnnotatedImage] = {}
    for entry in file.objects("images"):
        size = Size(*(entry.whole(side, least=1, most=_MOST_SIDE_PX) for side in ("height", "width")))
        image = AnnotatedImage(entry.whole("id"), size, image_path(entry))
        if images.setdefault(image.id, image) is not image:
            raise entry.make_error("id", "different from those of the images before it")
    categories = tuple(entry.whole("id") for entry in file.objects("categories"))
    known = set(categories)
    objects: dict[int, list[Annotation]] = {number: [] for number in images}
    seen: set[int] = set()
    for entry in file.objects("annotations"):
        annotation = _parse_annotation(entry)
        if annotation.image_id not in images:
            raise entry.make_error("image_id", "the id of one of the images")
        if annotation.category_id not in known:
            raise entry.make_error("category_id", "the id of one of the categories")
        if annotation.id in seen:
            raise entry.make_error("id", "different from those of the annotations before it")
        seen.add(annotation.id)
        objects[annotation.image_id].append(annotation)
    return Instances(path, images, objects, categories)


def _parse_annotation(entry: Fields) -> Annotation:
    if not isinstance(entry.get("segmentation"), list | dict):
        raise entry.make_error("segmentation", "polygons or run lengths")
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


def check_file_name(entry: Fields, name: str, text: str) -> str:
    """Returns a field's text if it is the name of an image file without any folder.

    Raises:
        DataError: it is something else.
    """
    plain = Path(text).name == text and not text.startswith(".") and text.isprintable()
    if not plain or set(text) & set("/\\:") or Path(text).suffix.lower() not in imaging.SUFFIXES:
        raise entry.make_error(name, f"an image's file name ({', '.join(imaging.SUFFIXES)})")
    return text


class InstanceData:
    """Annotated images in a folder, as samples with one mask per object.

    Args:
        instances: the annotations.
        folder: folder of the images.
        empty: keep images without objects; average precision of a detector's boxes needs them.

    Raises:
        DataError: an image is missing.
    """

    task: Literal["promptable"] = "promptable"

    def __init__(self, instances: Instances, folder: Path, *, empty: bool = True) -> None:
        self.annotations = instances.path
        self._folder = folder
        self._images = list(instances.images.values())
        self._objects = {
            number: [annotation for annotation in annotations if annotation.area >= _LEAST_AREA]
            for number, annotations in instances.objects.items()
        }
        if not empty:
            self._images = [image for image in self._images if self._objects[image.id]]
        missing = [image for image in self._images if not (folder / image.path).is_file()]
        if missing:
            raise DataError(
                f"{folder / missing[0].path}: no such file ({len(missing)} of {len(self._images)} images of "
                f"{instances.path.name} are missing); fetch them, or remove them from the annotations"
            )

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> PromptableSample:
        """Reads one image and the masks of its objects, possibly none.

        Raises:
            DataError: the image's size differs from its annotations, or a mask is invalid.
            ImageError: the image cannot be read.
        """
        image = self._images[index]
        pixels = read_stored(self._folder / image.path, image.size)
        return make_promptable_sample(image, pixels, self._objects[image.id])


def make_promptable_sample(
    image: AnnotatedImage, pixels: NDArray[np.uint8], objects: Sequence[Annotation]
) -> PromptableSample:
    """Makes a sample of an image and its objects.

    Raises:
        DataError: a mask is invalid.
    """
    return PromptableSample(
        name=image.path,
        image=pixels,
        masks=tuple(annotation.mask(image.size) for annotation in objects),
        boxes=np.array([annotation.box for annotation in objects], np.float32).reshape(-1, 4),
        areas=np.array([annotation.area for annotation in objects], np.float64),
        ids=np.array([annotation.id for annotation in objects], np.int64),
        image_id=image.id,
    )


def read_stored(path: Path, size: Size) -> NDArray[np.uint8]:
    """Reads an image as it is stored, (H, W, 3) uint8 RGB; annotations ignore EXIF's orientation.

    Raises:
        DataError: the image has another size.
        ImageError: the image cannot be read.
    """
    with open_image(path, max_pixels=DEFAULT_MAX_PIXELS) as (image, name):
        decode(image)
        pixels = np.array(convert_to_rgb(image, name))
    if (stored := Size.of(pixels)) != size:
        raise DataError(f"{path}: is {stored}, but its annotations are for {size}; download the original image")
    return pixels
