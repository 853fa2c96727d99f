"""COCO's instances (Lin et al. 2014), and LVIS's: other annotations of COCO's images (Gupta et al. 2019)."""

from __future__ import annotations

from pathlib import Path

from densevit.data.base import DataError
from densevit.data.coco_tools import require_coco_tools
from densevit.data.instances import InstanceData, plain_name, read_instances
from densevit.data.json_files import Fields
from densevit.data.layout import describe_contents, require_folder

_FOLDERS = ("train2017", "val2017", "test2017")


class Coco(InstanceData):
    """`root/annotations/instances_{split}2017.json` and `root/{split}2017/*.jpg`.

    Every object of an area of 1 or more counts, crowds too, as in EfficientViT-SAM's evaluation.

    Args:
        root: the folder.
        split: "train" or "val".
        empty: whether images without any object are kept.

    Raises:
        DataError: folders, file or images are not there, the file is not such a file, or pycocotools is missing.
    """

    def __init__(self, root: Path, split: str, *, empty: bool = True) -> None:
        layout = f"annotations/instances_{split}2017.json and {split}2017/*.jpg"
        file = _annotation_file(root, "instances_", split, "2017.json", layout=layout)
        folder = require_folder(root, f"{split}2017", layout=layout)
        super().__init__(read_instances(file, _own_name), folder, empty=empty)


class Lvis(InstanceData):
    """`root/annotations/lvis_v1_{split}.json`; the images lie as in COCO, such as `root/train2017/*.jpg`.

    Args:
        root: the folder.
        split: "train" or "val"; some images of LVIS's val are of COCO's train2017.
        empty: whether images without any object are kept.

    Raises:
        DataError: as `Coco`.
    """

    def __init__(self, root: Path, split: str, *, empty: bool = True) -> None:
        layout = f"annotations/lvis_v1_{split}.json and train2017/*.jpg, val2017/*.jpg"
        file = _annotation_file(root, "lvis_v1_", split, ".json", layout=layout)
        super().__init__(read_instances(file, _coco_name), root, empty=empty)


def _annotation_file(root: Path, prefix: str, split: str, suffix: str, *, layout: str) -> Path:
    folder = require_folder(root, "annotations", layout=layout)
    file = folder / f"{prefix}{split}{suffix}"
    if not file.is_file():
        names = [path.name for path in folder.glob(f"{prefix}*{suffix}")]
        splits = ", ".join(sorted(name.removeprefix(prefix).removesuffix(suffix) for name in names))
        there = f"existing splits: {splits}" if splits else f"{folder} holds {describe_contents(folder)}"
        raise DataError(f"{file}: no such file; looked for {layout}; {there}")
    require_coco_tools(f"{file}: reading polygons")
    return file


def _own_name(entry: Fields) -> str:
    return plain_name(entry, "file_name", entry.text("file_name"))


def _coco_name(entry: Fields) -> str:
    """The last two parts of where COCO has the image, such as train2017/000000391895.jpg."""
    *_, folder, name = ["", "", *entry.text("coco_url").split("/")]
    if folder not in _FOLDERS:
        raise entry.refuse("coco_url", f"an address that ends in {' or '.join(_FOLDERS)}, /, and a name")
    return f"{folder}/{plain_name(entry, 'coco_url', name)}"
