"""Average precision of masks as defined by COCO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densevit.data import coco_tools
from densevit.data.base import DataError
from densevit.data.detections import MaskDetection
from densevit.data.instances import Annotation, Instances, read_instances
from densevit.data.json_files import Fields
from densevit.imaging import Size

MOST_PER_IMAGE = 100
"""Only this number of detections per image and category counts, those with the highest scores."""


def average_precision(annotations: Path, detections: Sequence[MaskDetection]) -> dict[str, float | None]:
    """COCO's average precision of masks over all images of an annotation file.

    Args:
        annotations: COCO annotations, such as instances_val2017.json.
        detections: detections in any of the images; at most `MOST_PER_IMAGE` per image and category count.

    Returns:
        `ap` (mean over IoU thresholds 0.5, 0.55 ... 0.95 and categories), `ap50`, `ap75`, `ap_small`, `ap_medium`,
        `ap_large` in percent; None if no object has that size.

    Raises:
        DataError: the annotations are invalid or LVIS's; a detection has an unknown image or category, or a mask
            whose size is not that of its image.
        UnavailableError: pycocotools is not installed.
    """
    coco_tools.require_coco_tools("average precision")
    instances = read_instances(annotations, _refuse_lvis)
    truth = [
        _convert_annotation(annotation, instances)
        for objects in instances.objects.values()
        for annotation in objects
    ]
    found = [_convert_detection(detection, instances) for detection in detections]
    sizes = {number: image.size for number, image in instances.images.items()}
    return coco_tools.mask_precision(sizes, instances.categories, truth, found)


def _refuse_lvis(entry: Fields) -> str:
    if entry.get("neg_category_ids") is not None:
        raise DataError(
            f"{entry.where}: this is LVIS, which annotates only some categories per image; its average precision "
            "is not supported, so measure IoU with --prompt box or point instead"
        )
    return ""


def _convert_annotation(annotation: Annotation, instances: Instances) -> dict[str, Any]:
    size = instances.images[annotation.image_id].size
    return {
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "segmentation": annotation.mask(size).to_coco(),
        "area": annotation.area,
        "iscrowd": int(annotation.crowd),
    }


def _convert_detection(detection: MaskDetection, instances: Instances) -> dict[str, Any]:
    image = instances.images.get(detection.image_id)
    if image is None or detection.category_id not in instances.categories:
        raise DataError(
            f"a detection has image {detection.image_id} and category {detection.category_id}, "
            f"which are not both in {instances.path}"
        )
    if detection.mask.size != tuple(image.size):
        raise DataError(
            f"a detection's mask is {Size(*detection.mask.size)}, but image {image.id} is {image.size}"
        )
    return {
        "image_id": detection.image_id,
        "category_id": detection.category_id,
        "segmentation": detection.mask.to_coco(),
        "area": detection.mask.area,
        "iscrowd": 0,
        "score": detection.score,
    }
