"""Training checkpoints: complete, written atomically, and read without unpickling code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from densevit.core.errors import InputError
from densevit.core.files import write_atomically
from densevit.core.messages import first_line

FORMAT = "densevit-training-2"
_EARLIER = ("densevit-training-1",)
"""Formats from before options were renamed (color, unlabeled); they cannot be converted."""


class CheckpointError(InputError):
    """A checkpoint cannot be read, or belongs to another training."""


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a temporary file and renames it, so that a killed training never leaves a partial checkpoint."""
    with write_atomically(path) as temporary:
        torch.save({"format": FORMAT, **state}, temporary)


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
