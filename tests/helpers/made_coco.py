"""A small data set in the layout of COCO: two images with objects, one without."""

import copy
import json
from pathlib import Path

from helpers.made import make_image, save

IMAGES = [
    {"id": 7, "file_name": "000007.png", "height": 40, "width": 60},
    {"id": 9, "file_name": "000009.png", "height": 30, "width": 20},
    {"id": 3, "file_name": "000003.png", "height": 10, "width": 10},
]
ANNOTATIONS = [
    {
        "id": 11,
        "image_id": 7,
        "category_id": 2,
        "segmentation": [[10, 5, 30.5, 5, 30.5, 25.25, 10, 25.25], [40, 30, 50, 30, 50, 39]],
        "bbox": [10, 5, 40.0, 34.0],
        "area": 460.125,
        "iscrowd": 0,
    },
    {
        "id": 12,
        "image_id": 7,
        "category_id": 1,
        "segmentation": {"size": [40, 60], "counts": [400, 200, 1800]},
        "bbox": [10, 0, 5, 40],
        "area": 200,
        "iscrowd": 1,
    },
    {
        "id": 13,
        "image_id": 9,
        "category_id": 1,
        "segmentation": [[2, 2, 12, 2, 12, 22]],
        "bbox": [2, 2, 10, 20],
        "area": 100.0,
        "iscrowd": 0,
    },
    {
        "id": 14,
        "image_id": 9,
        "category_id": 1,
        "segmentation": [[2, 2, 2.5, 2, 2.5, 2.5]],
        "bbox": [2, 2, 0.5, 0.5],
        "area": 0.125,
        "iscrowd": 0,
    },
]
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def contents() -> dict:
    """A fresh copy of the content of the annotation file."""
    return copy.deepcopy({"images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES})


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def write(root: Path, value: object = None, *, split: str = "val") -> Path:
    """Writes the data set and returns its annotation file."""
    for image in IMAGES:
        save(root / f"{split}2017" / image["file_name"], make_image(image["height"], image["width"]))
    return write_json(root / "annotations" / f"instances_{split}2017.json", value or contents())
