"""Training checkpoints: complete, written atomically, and read without unpickling code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import IO, Any, cast

import numpy as np
import torch

from densevit.core.errors import InputError, UsageError
from densevit.core.files import write_atomically
from densevit.core.messages import first_line

FORMAT = "densevit-training-2"
_EARLIER = ("densevit-training-1",)
"""Formats from before options were renamed (color, unlabeled); they cannot be converted."""


class CheckpointError(InputError):
    """A checkpoint cannot be read, or belongs to another training."""


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a temporary file and renames it, so that a killed training never leaves a partial checkpoint.

    Args:
        path: the file.
        state: tensors and plain values, see `to_plain`; nothing else can be read again.

    Raises:
        UnavailableError: the disk is full; the checkpoint before stays.
    """
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        writer = _Writer(file)
        try:
            torch.save({"format": FORMAT, **state}, cast("IO[bytes]", writer))
        except RuntimeError:
            # PyTorch's zip writer reports that fewer bytes were written, not why
            if writer.error is None:
                raise
            raise writer.error from None


class _Writer:
    """A file for `torch.save` that remembers why it could not be written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def to_plain(value: Any) -> Any:
    """A value as JSON would hold it: paths are texts, tuples lists, numpy's numbers are Python's.

    Raises:
        UsageError: a value of another kind, which no checkpoint holds.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(entry) for entry in value]
    raise UsageError(
        f"an option or score of type {type(value).__name__} cannot be stored in a checkpoint: {value!r}"
    )


def read_checkpoint(path: Path, *, device: torch.device) -> dict[str, Any]:
    """Reads the state that `write_checkpoint` wrote.

    Raises:
        CheckpointError: missing, damaged, of an earlier version, or not a checkpoint of densevit.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no checkpoint to resume from") from None
    except Exception as error:  # torch and pickle raise many kinds on damaged files
        raise CheckpointError(f"{path}: cannot be read ({first_line(error)})") from error
    found = state.get("format") if isinstance(state, dict) else None
    if found in _EARLIER:
        raise CheckpointError(
            f"{path}: an earlier version of densevit wrote this checkpoint and options have been renamed since; "
            "finish the training with that version, or start it again in another folder"
        )
    if not isinstance(state, dict) or found != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of densevit's training")
    return state
