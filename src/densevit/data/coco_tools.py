"""The uses of pycocotools: convert polygons to COCO's masks, and compute average precision."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from densevit.core.packages import require_packages
from densevit.data.base import DataError
from densevit.data.json_files import is_number
from densevit.imaging import Size
from densevit.masks import RLE

_MOST_LENGTH_PX = 2_000_000
"""Limit of one outline's length: pycocotools allocates memory for every fifth of a pixel along it."""


def require_coco_tools(purpose: str) -> None:
    """Checks that pycocotools is installed.

    Args:
        purpose: what needs it, for the message.

    Raises:
        UnavailableError: pycocotools is not installed.
    """
    require_packages(purpose, "pycocotools", extra="coco")


def rasterize(outlines: list[Any], size: Size, *, where: str = "segmentation") -> RLE:
    """Converts COCO's polygons to a mask of all pixels inside any of them.

    Args:
        outlines: polygons [x, y, x, y, ...] in pixels; untrusted.
        size: size of the image.
        where: file and position, for messages.

    Raises:
        DataError: a polygon has fewer than three points, or lies far outside the image.
        UnavailableError: pycocotools is not installed.
    """
    require_coco_tools("reading polygons")
    from pycocotools import mask

    if not outlines:
        raise DataError(f"{where}: must have at least one polygon")
    for outline in outlines:
        _check_outline(outline, size, where)
    runs = mask.merge(mask.frPyObjects(outlines, size.height, size.width))
    return RLE.from_coco(runs)


def _check_outline(outline: Any, size: Size, where: str) -> None:
    if not isinstance(outline, list) or len(outline) < 6 or len(outline) % 2 or not all(map(is_number, outline)):
        raise DataError(
            f"{where}: a polygon must be [x, y, x, y, ...] with at least three points of finite numbers"
        )
    points = np.array(outline, np.float64).reshape(-1, 2)
    side = max(size)
    if points.min() < -side or points.max() > 2 * side:
        raise DataError(
            f"{where}: a polygon has coordinates {points.min():g}..{points.max():g}, but the image is {size}"
        )
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(1) + 1
    if steps.sum() > _MOST_LENGTH_PX:
        raise DataError(f"{where}: a polygon is {steps.sum():.0f} pixels long; the limit is {_MOST_LENGTH_PX}")


_STATISTICS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""The first six of COCO's twelve statistics, in COCO's order."""


def mask_precision(
    images: Mapping[int, Size],
    categories: Sequence[int],
    truth: Iterable[dict[str, Any]],
    found: Iterable[dict[str, Any]],
) -> dict[str, float | None]:
    """COCO's average precisions of masks in percent; None without any object of that size.

    Args:
        images: size of each image by id.
        categories: ids of the categories.
        truth: annotated objects with image_id, category_id, segmentation as run lengths, area and iscrowd.
        found: detections with the same fields and score.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def index_objects(objects: Iterable[dict[str, Any]]) -> Any:
        index = COCO()
        index.dataset = {
            "images": [
                {"id": number, "height": size.height, "width": size.width} for number, size in images.items()
            ],
            "categories": [{"id": category} for category in categories],
            # renumbered from 1: pycocotools uses the id 0 for "no match"
            "annotations": [{**one, "id": number} for number, one in enumerate(objects, start=1)],
        }
        index.createIndex()
        return index

    # pycocotools prints its progress
    with redirect_stdout(io.StringIO()):
        evaluation = COCOeval(index_objects(truth), index_objects(found), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = evaluation.stats[: len(_STATISTICS)]
    return {
        name: 100 * float(value) if value >= 0 else None for name, value in zip(_STATISTICS, values, strict=True)
    }
