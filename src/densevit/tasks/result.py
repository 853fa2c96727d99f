"""What all results have in common: the files that they can be written as."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.core.errors import UsageError
from densevit.core.files import make_folder, write_atomically


@dataclass(frozen=True)
class Drawing:
    """A drawn image: (H, W, 3) uint8 RGB in `array`."""

    array: NDArray[np.uint8]

    def save(self, path: str | Path) -> None:
        """Writes it in the format of the suffix."""
        imaging.save(self.array, path)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.array, dtype=dtype, copy=True if copy is None else copy)


class Result(ABC):
    """The answer of a model for one image, at the image's own size.

    Attributes:
        formats: name of a format -> what is added to a path for its file.
        default_format: of `save`.
    """

    formats: ClassVar[Mapping[str, str]]
    default_format: ClassVar[str]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The facts of the result, ready for JSON."""

    @abstractmethod
    def write(self, form: str, target: Path) -> list[Path]:
        """Writes one format of `formats`; returns the files written."""

    def save(self, path: str | Path, *, formats: Iterable[str] | None = None) -> list[Path]:
        """Writes the result beside `path`, one file per format.

        Args:
            path: folder and stem; "out/street" gives "out/street.overlay.jpg" and so on. Folders are made.
            formats: keys of `formats`; the default one when None.

        Returns:
            The files written.

        Raises:
            UsageError: an unknown format.
        """
        return [file for form, target in self.find_targets(path, formats) for file in self.write(form, target)]

    def find_targets(self, path: str | Path, formats: Iterable[str] | None) -> list[tuple[str, Path]]:
        """(format, its file) for each format of `save`, whose folder is made.

        Raises:
            UsageError: an unknown format.
        """
        chosen = [self.default_format] if formats is None else list(formats)
        if unknown := [form for form in chosen if form not in self.formats]:
            raise UsageError(f"format must be one of {', '.join(self.formats)}, got {unknown[0]!r}")
        stem = Path(path)
        make_folder(stem.parent)
        return [(form, stem.with_name(stem.name + self.formats[form])) for form in chosen]


def write_json(value: Any, target: Path, *, indent: int | None = None) -> None:
    """Writes JSON; a file that is there is replaced at once, or not at all."""
    with write_atomically(target) as temporary:
        temporary.write_text(json.dumps(value, indent=indent) + "\n", encoding="utf-8")
