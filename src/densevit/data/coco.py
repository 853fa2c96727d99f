"""COCO (Lin et al. 2014), and LVIS, which annotates COCO's images differently (Gupta et al. 2019)."""

from __future__ import annotations

from pathlib import Path

from densevit.data.base import DataError
from densevit.data.coco_tools import require_coco_tools
from densevit.data.instances import InstanceData, check_file_name, read_instances
from densevit.data.json_files import Fields
from densevit.data.layout import describe_contents, require_folder

_FOLDERS = ("train2017", "val2017", "test2017")


class Coco(InstanceData):
    """COCO's objects: `root/annotations/instances_{split}2017.json` and `root/{split}2017/*.jpg`.

    Every object with an area of at least 1 counts, crowds too, as in EfficientViT-SAM's evaluation.

    Args:
        root: folder of the data set.
        split: "train" or "val".
        empty: keep images without objects.

    Raises:
        DataError: a folder, the file or an image is missing, or the file is invalid.
        UnavailableError: pycocotools is not installed.
    """

    def __init__(self, root: Path, split: str, *, empty: bool = True) -> None:
        layout = f"annotations/instances_{split}2017.json and {split}2017/*.jpg"
        file = _find_annotations(root, "instances_", split, "2017.json", layout=layout)
        folder = require_folder(root, f"{split}2017", layout=layout)
        super().__init__(read_instances(file, _read_file_name), folder, empty=empty)


class Lvis(InstanceData):
    """LVIS's objects: `root/annotations/lvis_v1_{split}.json` and COCO's images, such as `root/train2017/*.jpg`.

    Args:
        root: folder of the data set.
        split: "train" or "val"; some images of LVIS's val are in COCO's train2017.
        empty: keep images without objects.

    Raises:
        DataError: as `Coco`.
    """

    def __init__(self, root: Path, split: str, *, empty: bool = True) -> None:
        layout = f"annotations/lvis_v1_{split}.json and train2017/*.jpg, val2017/*.jpg"
        file = _find_annotations(root, "lvis_v1_", split, ".json", layout=layout)
        super().__init__(read_instances(file, _read_coco_path), root, empty=empty)


def _find_annotations(root: Path, prefix: str, split: str, suffix: str, *, layout: str) -> Path:
    folder = require_folder(root, "annotations", layout=layout)
    file = folder / f"{prefix}{split}{suffix}"
    if not file.is_file():
        names = [path.name for path in folder.glob(f"{prefix}*{suffix}")]
        splits = ", ".join(sorted(name.removeprefix(prefix).removesuffix(suffix) for name in names))
        there = f"existing splits: {splits}" if splits else f"{folder} holds {describe_contents(folder)}"
        raise DataError(f"{file}: no such file; looked for {layout}; {there}")
    require_coco_tools(f"{file}: reading polygons")
    return file


def _read_file_name(entry: Fields) -> str:
    return check_file_name(entry, "file_name", entry.text("file_name"))


def _read_coco_path(entry: Fields) -> str:
    """The last two parts of the image's URL, such as train2017/000000391895.jpg."""
    *_, folder, name = ["", "", *entry.text("coco_url").split("/")]
    if folder not in _FOLDERS:
        raise entry.make_error(
            "coco_url", f"a URL that ends in FOLDER/NAME with a FOLDER of {', '.join(_FOLDERS)}"
        )
    return f"{folder}/{check_file_name(entry, 'coco_url', name)}"
