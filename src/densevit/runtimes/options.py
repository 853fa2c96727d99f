"""How a model is loaded: declared once, for `load`, every verb, batch workers and the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypedDict, get_args

from densevit.core.errors import UsageError
from densevit.runtimes.base import PRECISIONS
from densevit.runtimes.table import RUNTIMES, check_runtime_name

Mode = Literal["latency", "throughput"]
_PRECISIONS = ("auto", *PRECISIONS)
_RUNTIMES = ", ".join(f"{row.name} ({row.help})" for row in RUNTIMES.values())


@dataclass(frozen=True)
class LoadOptions:
    """Options of `densevit.load`.

    Raises:
        UsageError: a value that is not allowed.
    """

    weights: Annotated[str | Path | None, "Weights file for the named model: official, timm's, or densevit's."] = (
        None
    )
    runtime: Annotated[str, f"auto, {_RUNTIMES}."] = "auto"
    precision: Annotated[str, f"{', '.join(_PRECISIONS[:-1])} or {_PRECISIONS[-1]}."] = "auto"
    device: Annotated[str, "auto, cpu, cuda, cuda:N or mps."] = "auto"
    size: Annotated[
        str | None,
        "Working size: native, short:S, long:S (or :S/M), exact:HxW, published. Default: the model's own.",
    ] = None
    tile: Annotated[
        str | int, "Side in pixels of the tiles of large images; auto for the task's own, whole for one tile."
    ] = "auto"
    threads: Annotated[int, "CPU threads; 0 for the runtime's own choice."] = 0
    mode: Annotated[
        Mode, "latency: one image as fast as possible; throughput: many at once, from several threads."
    ] = "latency"

    def __post_init__(self) -> None:
        check_runtime_name(self.runtime)
        if self.precision not in _PRECISIONS:
            raise UsageError(f"precision must be auto or one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.mode not in get_args(Mode):
            raise UsageError(f"mode must be one of {', '.join(get_args(Mode))}, got {self.mode!r}")
        if self.threads < 0:
            raise UsageError(f"threads must be at least 0, got {self.threads}")


class LoadKeywords(TypedDict, total=False):
    """The fields of `LoadOptions` as keywords; a test compares the two."""

    weights: str | Path | None
    runtime: str
    precision: str
    device: str
    size: str | None
    tile: str | int
    threads: int
    mode: Mode
