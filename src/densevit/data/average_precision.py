"""Average precision of masks, as COCO's evaluation has it."""

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
"""So many detections of an image and category count, those of the highest scores."""


def average_precision(annotations: Path, detections: Sequence[MaskDetection]) -> dict[str, float | None]:
    """COCO's average precision of masks over all images of an annotation file.

    Args:
        annotations: such as instances_val2017.json.
        detections: of any number of images, each no more than `MOST_PER_IMAGE` per category.

    Returns:
        `ap` (mean over IoU thresholds 0.5, 0.55 ... 0.95 and categories), `ap50`, `ap75`, `ap_small`, `ap_medium`,
        `ap_large` in percent; None where no object is of that size.

    Raises:
        DataError: not such a file, LVIS's, a detection of an image or category that is not in it, a mask of
            another size than its image, or pycocotools is missing.
    """
    coco_tools.require_coco_tools("average precision")
    instances = read_instances(annotations, _not_lvis)
    truth = [_object(annotation, instances) for objects in instances.objects.values() for annotation in objects]
    found = [_detection(detection, instances) for detection in detections]
    sizes = {number: image.size for number, image in instances.images.items()}
    return coco_tools.mask_precision(sizes, instances.categories, truth, found)


def _not_lvis(entry: Fields) -> str:
    if entry.get("neg_category_ids") is not None:
        raise DataError(
            f"{entry.where}: this is LVIS, which is not annotated for all categories everywhere; its own average "
            "precision is not there, take intersection over union with boxes or points of the annotations"
        )
    return ""


def _object(annotation: Annotation, instances: Instances) -> dict[str, Any]:
    size = instances.images[annotation.image_id].size
    return {
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "segmentation": annotation.mask(size).to_coco(),
        "area": annotation.area,
        "iscrowd": int(annotation.crowd),
    }


def _detection(detection: MaskDetection, instances: Instances) -> dict[str, Any]:
    image = instances.images.get(detection.image_id)
    if image is None or detection.category_id not in instances.categories:
        raise DataError(
            f"a detection is of image {detection.image_id} and category {detection.category_id}; "
            f"not both are in {instances.path}"
        )
    if detection.mask.size != tuple(image.size):
        raise DataError(f"a detection in image {image.id} is {Size(*detection.mask.size)}, the image {image.size}")
    return {
        "image_id": detection.image_id,
        "category_id": detection.category_id,
        "segmentation": detection.mask.to_coco(),
        "area": detection.mask.area,
        "iscrowd": 0,
        "score": detection.score,
    }
