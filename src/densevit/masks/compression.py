"""COCO's text form of run lengths, as cocoapi's `rleToString` and `rleFrString` define it.

From the fourth on, a run length is stored as its difference from the run length two places before. Each number
is cut into pieces of five bits, the lowest first. A character is 48 + piece, + 32 where more pieces follow; the
highest bit of the last piece is the sign.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from densevit.masks.types import MaskError

_MAX_PIECES = 7
"""A difference of two 32-bit numbers needs at most this number of five-bit pieces."""


_WHAT = "the text of the mask's run lengths"


def compress_counts(counts: NDArray[np.uint32]) -> str:
    """(N,) run lengths -> text."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2].astype(np.int64)
    index = np.arange(_MAX_PIECES)
    pieces = (values[:, None] >> (5 * index)) & 31
    # n pieces hold -2**(5n - 1) .. 2**(5n - 1) - 1
    magnitude = np.where(values < 0, ~values, values)
    lengths = 1 + (magnitude[:, None] >> (5 * index[:-1] + 4) > 0).sum(1)
    pieces += 48 + 32 * (index < lengths[:, None] - 1)
    used: NDArray[np.uint8] = pieces[index < lengths[:, None]].astype(np.uint8)
    return used.tobytes().decode("ascii")


def decompress_counts(text: str | bytes) -> NDArray[np.int64]:
    """Text -> (N,) run lengths, which may be negative where the text does not come from run lengths.

    Raises:
        MaskError: characters that do not occur in such texts, a number without an end, or one that is too large.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    pieces = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if not pieces.size:
        return np.zeros(0, np.int64)
    if pieces.min() < 0 or pieces.max() > 63:
        raise MaskError(f"{_WHAT} holds characters outside '0' .. 'o'")
    last = np.flatnonzero(pieces < 32)
    if not last.size or last[-1] != pieces.size - 1:
        raise MaskError(f"{_WHAT} ends within a number")
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _MAX_PIECES:
        raise MaskError(f"{_WHAT} holds a number of {lengths.max()} characters; allowed: at most {_MAX_PIECES}")
    shifts = 5 * (np.arange(pieces.size) - np.repeat(first, lengths))
    values = np.add.reduceat((pieces & 31) << shifts, first)
    negative = pieces[last] & 16 > 0
    values[negative] -= 1 << (5 * lengths[negative])
    for chain in (values[1::2], values[2::2]):
        np.cumsum(chain, out=chain)
    return values
