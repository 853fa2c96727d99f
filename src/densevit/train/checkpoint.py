"""The state of a training on disk: complete, atomic, and read without unpickling code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from densevit.core.errors import InputError
from densevit.core.files import write_atomically
from densevit.core.messages import first_line

FORMAT = "densevit-training-1"


class CheckpointError(InputError):
    """A checkpoint cannot be read, or belongs to another training."""


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes beside the file, then takes its place, so that a killed training never leaves half of one."""
    with write_atomically(path) as temporary:
        torch.save({"format": FORMAT, **state}, temporary)


def read_checkpoint(path: Path, *, device: torch.device) -> dict[str, Any]:
    """The state that `write_checkpoint` wrote.

    Raises:
        CheckpointError: missing, damaged, or not a checkpoint of this project.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no checkpoint to resume from") from None
    except Exception as error:
        raise CheckpointError(f"{path}: cannot be read ({first_line(error)})") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of densevit's training")
    return state
