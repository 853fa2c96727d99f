"""What pycocotools does for us: outlines become masks as COCO has them, and detections are scored."""

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
"""Of one outline: pycocotools needs memory for every fifth of a pixel along it."""


def require_coco_tools(purpose: str) -> None:
    """Refuses what cannot be done without pycocotools.

    Args:
        purpose: what needs it, for the message.

    Raises:
        UnavailableError: it is not installed.
    """
    require_packages(purpose, "pycocotools", extra="coco")


def rasterize(outlines: list[Any], size: Size, *, where: str = "segmentation") -> RLE:
    """The mask of COCO's polygons: all pixels within any of them.

    Args:
        outlines: [x, y, x, y, ...] each, in pixels; need not be trusted.
        size: of the image.
        where: file and place, for messages.

    Raises:
        DataError: not polygons of at least three points in or about the image, or pycocotools is missing.
    """
    require_coco_tools("reading polygons")
    from pycocotools import mask

    if not outlines:
        raise DataError(f"{where}: has no polygon")
    for outline in outlines:
        _check_outline(outline, size, where)
    runs = mask.merge(mask.frPyObjects(outlines, size.height, size.width))
    return RLE.from_coco(runs)


def _check_outline(outline: Any, size: Size, where: str) -> None:
    if not isinstance(outline, list) or len(outline) < 6 or len(outline) % 2 or not all(map(is_number, outline)):
        raise DataError(f"{where}: a polygon is [x, y, x, y, ...], at least three points of finite numbers")
    points = np.array(outline, np.float64).reshape(-1, 2)
    side = max(size)
    if points.min() < -side or points.max() > 2 * side:
        raise DataError(f"{where}: a polygon reaches to {points.min():g}..{points.max():g}, the image is {size}")
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(1) + 1
    if steps.sum() > _MOST_LENGTH_PX:
        raise DataError(f"{where}: a polygon is {steps.sum():.0f} pixels long; allowed: {_MOST_LENGTH_PX}")


_STATISTICS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""The first of COCO's twelve, in their order."""


def mask_precision(
    images: Mapping[int, Size],
    categories: Sequence[int],
    truth: Iterable[dict[str, Any]],
    found: Iterable[dict[str, Any]],
) -> dict[str, float | None]:
    """COCO's average precisions of masks in percent, None where there is no object to be found.

    Args:
        images: their numbers and sizes.
        categories: their numbers.
        truth: the objects: image_id, category_id, segmentation as run lengths, area, iscrowd.
        found: the same with score.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def indexed(objects: Iterable[dict[str, Any]]) -> Any:
        index = COCO()
        index.dataset = {
            "images": [
                {"id": number, "height": size.height, "width": size.width} for number, size in images.items()
            ],
            "categories": [{"id": category} for category in categories],
            # numbered anew: pycocotools takes the number 0 for "nothing matches"
            "annotations": [{**one, "id": number} for number, one in enumerate(objects, start=1)],
        }
        index.createIndex()
        return index

    # it prints what it does
    with redirect_stdout(io.StringIO()):
        evaluation = COCOeval(indexed(truth), indexed(found), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = evaluation.stats[: len(_STATISTICS)]
    return {
        name: 100 * float(value) if value >= 0 else None for name, value in zip(_STATISTICS, values, strict=True)
    }
