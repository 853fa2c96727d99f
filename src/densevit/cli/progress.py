"""A progress bar on stderr, shown only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a progress bar on."""

    def __call__(self, steps: int = 1) -> None:
        """Moves it on by this number of steps."""
        ...


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Advance]:
    """Shows a bar of `total` steps; yields the function to call after one step or several."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda steps=1: None
        return
    # imported here: importing rich would slow down the start of commands without a bar
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda steps=1: progress.advance(task, steps)
