"""A folder with an image per mask, in which a user's own files are safe.

The folder's index lists the images that densevit wrote. A later result replaces exactly these: a file that the
index does not list is neither overwritten nor removed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from densevit import imaging
from densevit.core.errors import InputError
from densevit.core.files import explain_write_error, make_folder, write_atomically
from densevit.masks import RLE

INDEX_NAME = "masks.json"
_INDEX_KEY = "written_by_densevit"
_IMAGE_NAME = re.compile(r"[0-9]+\.png")
"""All that an entry of the index may be: it cannot lead out of the folder."""


def write_mask_images(folder: Path, masks: Iterable[RLE]) -> list[Path]:
    """Writes black and white images "0.png", "1.png" ...; further ones that an earlier call wrote are removed.

    Args:
        folder: is made where it does not exist.
        masks: in the order of the numbers.

    Returns:
        The images written.

    Raises:
        InputError: the folder holds a file of the same name that densevit did not write; nothing is changed then.
            Or it cannot be written to.
    """
    runs = list(masks)
    digits = len(str(max(0, len(runs) - 1)))
    names = [f"{index:0{digits}}.png" for index in range(len(runs))]
    make_folder(folder)
    earlier = _read_index(folder)
    for name in names:
        if name not in earlier and os.path.lexists(folder / name):
            raise InputError(
                f"{folder / name}: already there, and not listed in {INDEX_NAME} as written by densevit; "
                "move it, or write to another folder"
            )
    # the index comes first and covers both results: an interrupted run leaves no image that is not listed
    _write_index(folder, sorted(earlier.union(names)))
    for name, rle in zip(names, runs, strict=True):
        imaging.save(rle.decode().astype(np.uint8) * np.uint8(255), folder / name)
    for name in earlier.difference(names):
        if not (folder / name).is_dir():
            try:
                (folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise explain_write_error(folder / name, error) from error
    _write_index(folder, names)
    return [folder / name for name in names]


def _read_index(folder: Path) -> set[str]:
    """Names of the images that densevit wrote; entries that are not such names are ignored."""
    path = folder / INDEX_NAME
    if not os.path.lexists(path):
        return set()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))[_INDEX_KEY]
        return {entry for entry in entries if isinstance(entry, str) and _IMAGE_NAME.fullmatch(entry)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        # a user's file of that name, or a damaged index: nothing tells which images are ours
        raise InputError(
            f"{path}: not an index that densevit wrote; move it, or write to another folder"
        ) from error


def _write_index(folder: Path, names: list[str]) -> None:
    with write_atomically(folder / INDEX_NAME) as temporary:
        temporary.write_text(json.dumps({_INDEX_KEY: names}) + "\n", encoding="utf-8")
