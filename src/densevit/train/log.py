"""Training logs: a progress bar, a CSV file, and TensorBoard if it is installed."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from densevit.core.files import write_atomically


class Log(Protocol):
    """A destination for logged values."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Logs the values of a step."""
        ...

    def close(self) -> None:
        """Flushes everything to disk."""
        ...


class CsvLog:
    """Appends rows of (step, name, value); rows that a resumed run will repeat are removed first.

    Args:
        path: the CSV file.
        start: rows of later steps are removed, because they will be written again.
        validated: whether the scores of step `start` stay; False where that step is validated again.
    """

    def __init__(self, path: Path, *, start: int, validated: bool = True) -> None:
        kept = [
            row
            for row in _read_rows_until(path, start)
            if validated or not (int(row[0]) == start and row[1].startswith("val/"))
        ]
        with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("step", "name", "value"), *kept])
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one row per value."""
        self._writer.writerows((step, name, f"{value:.6g}") for name, value in values.items())
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _read_rows_until(path: Path, start: int) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [row for row in rows if len(row) == 3 and row[0].isdigit() and int(row[0]) <= start]


class TensorBoardLog:
    """Scalars for TensorBoard, which the extra `train` installs."""

    def __init__(self, folder: Path, *, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=start + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one scalar per value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes."""
        self._writer.close()


def open_logs(folder: Path, *, start: int, validated: bool = True) -> list[Log]:
    """Opens every log that the installed packages support; see `CsvLog`."""
    logs: list[Log] = [CsvLog(folder / "log.csv", start=start, validated=validated)]
    try:
        logs.append(TensorBoardLog(folder / "tensorboard", start=start))
    except ImportError:
        print("no TensorBoard log: pip install 'densevit[train]'", file=sys.stderr)
    return logs


class ProgressBar:
    """Completed and total steps, remaining time and the latest values, on stderr."""

    def __init__(self, total: int, *, start: int, shown: bool) -> None:
        self._progress = Progress(
            TextColumn("train"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            disable=not shown,
        )
        self._task = self._progress.add_task("", total=total, completed=start)
        self._progress.start()

    def advance(self, description: str) -> None:
        """Moves on by one step."""
        self._progress.update(self._task, advance=1, description=description)

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self._progress.console.print(line, highlight=False)

    def close(self) -> None:
        """Stops the bar; it stays on screen."""
        self._progress.stop()
