"""The options that every training has, and parsing `--set key=value`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from densevit.core.errors import UsageError


@dataclass(frozen=True)
class Options:
    """Options of the training loop; recipes derive from it to add their own."""

    steps: int = 10_000  # total number of optimizer steps
    batch: int = 8  # samples per step, summed over all ranks
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: orthogonal updates for dense weights, AdamW for the rest
    learning_rate: float = 3e-3  # peak value, reached after the warm-up
    weight_decay: float = 0.05  # of convolution and linear weights only
    warmup_steps: int = 300  # linear, from zero
    clip_norm: float = 1.0  # gradients are clipped to this global norm
    ema_decay: float = 0.9995  # of the averaged weights, which are validated and saved
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # autocast precision of the forward pass
    device: str = "auto"  # "cpu", "cuda", "mps"; auto picks the available accelerator
    seed: int = 0  # for initial weights, sample order and augmentation
    validate_every: int = 500  # steps between validations
    checkpoint_every: int = 250  # steps between checkpoints
    threads: int = 0  # number of CPU threads; 0 leaves the choice to torch

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_steps", "threads"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"ema_decay must be in [0, 1), got {self.ema_decay}")


AnyOptions = TypeVar("AnyOptions", bound=Options)


def with_settings(options: AnyOptions, settings: Iterable[str]) -> AnyOptions:
    """Returns the options changed by `key=value` strings.

    Raises:
        UsageError: an unknown key, or a value of the wrong type; the message lists what is allowed.
    """
    hints = get_type_hints(type(options))
    changes = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        key = key.strip().replace("-", "_")
        if not separator:
            raise UsageError(f"--set takes key=value, got {setting!r}")
        if key not in hints:
            raise UsageError(f"unknown option {key!r}; known: {', '.join(sorted(hints))}")
        changes[key] = _parse(key, text.strip(), hints[key])
    return dataclasses.replace(options, **changes)


def _parse(key: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise UsageError(f"{key} must be one of {', '.join(map(str, get_args(kind)))}, got {text!r}")
        return text
    if get_origin(kind) is tuple:
        parts = text.split(",")
        kinds = get_args(kind)
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            kinds = (kinds[0],) * len(parts)
        if len(parts) != len(kinds):
            raise UsageError(f"{key} takes {len(kinds)} values separated by commas, got {text!r}")
        return tuple(_parse(key, part.strip(), one) for part, one in zip(parts, kinds, strict=True))
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{key} must be true or false, got {text!r}")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        expected = {int: "a whole number", float: "a number"}.get(kind, f"a {kind.__name__}")
        raise UsageError(f"{key} must be {expected}, got {text!r}") from None
