"""A progress bar on stderr, only where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, steps: int = 1) -> None:
        """By so many steps."""
        ...


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Advance]:
    """Yields what is called after each of `total` steps, or after several."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda steps=1: None
        return
    # rich costs a noticeable part of the start of a command that handles one image
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda steps=1: progress.advance(task, steps)
