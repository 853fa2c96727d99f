"""The error for a mask that cannot be used."""

from __future__ import annotations

from densevit.core.errors import InputError


class MaskError(InputError):
    """A mask that cannot be used: one line that says what is wrong with it."""
