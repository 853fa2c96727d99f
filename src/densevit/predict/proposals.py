"""Selects the few masks that stay from many overlapping proposals, and enlarges as few of them as possible.

Segment Anything's generator enlarges every proposal to the image, measures its stability and its box there, and
suppresses boxes that overlap better ones (arXiv 2304.02643, appendix B). Here proposals are kept as small logits,
best first. The logits give bounds of a proposal's box, which often show that a better mask suppresses it, whatever
its exact box and stability are; then it is never enlarged. The masks that stay are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from densevit.masks import RLE
from densevit.tasks.mask_upsampling import MaskUpsampling
from densevit.variants.segment_anything import MASK_SIDE

Box = tuple[int, int, int, int]

_NOTHING = np.float32(-1000)
"""In place of logits that were not kept."""
_REACH = 2
"""Cells around those above a threshold that may contribute to pixels above it."""


@dataclass(frozen=True)
class Proposal:
    """A mask before enlargement.

    Attributes:
        logits: (h, w) float32, the part of (256, 256) that matters.
        row: first row of the part.
        column: first column of the part.
        score: predicted intersection over union.
        point: number of its point in the grid.
    """

    logits: NDArray[np.float32]
    row: int
    column: int
    score: float
    point: int

    @staticmethod
    def of(logits: NDArray[np.float32], score: float, point: int, *, lowest: float) -> Proposal | None:
        """Keeps the part that decides which pixels exceed `lowest`; None if no pixel can."""
        cells = logits > lowest
        rows, columns = (np.flatnonzero(cells.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return None
        top, left = max(0, int(rows[0]) - _REACH), max(0, int(columns[0]) - _REACH)
        part = logits[top : int(rows[-1]) + 1 + _REACH, left : int(columns[-1]) + 1 + _REACH]
        return Proposal(part.copy(), top, left, score, point)

    def whole(self) -> NDArray[np.float32]:
        """(256, 256) logits; those that were not kept are far below zero."""
        logits = np.full((MASK_SIDE, MASK_SIDE), _NOTHING)
        height, width = self.logits.shape
        logits[self.row : self.row + height, self.column : self.column + width] = self.logits
        return logits


@dataclass(frozen=True)
class Survivor:
    """A proposal that stays, at the image's size.

    Attributes:
        proposal: before enlargement.
        rle: its pixels.
        box: (x0, y0, x1, y1), x1 and y1 its last pixels.
        stability: number of pixels above the raised threshold, divided by that above the lowered one.
    """

    proposal: Proposal
    rle: RLE
    box: Box
    stability: float


@dataclass(frozen=True)
class Sieve:
    """The tests that a proposal must pass.

    Attributes:
        upsampling: to the image.
        min_stability: smallest share of pixels that stay when the threshold moves.
        offset: by how much it moves, up and down.
        nms_threshold: largest intersection over union of boxes with a better mask's.
    """

    upsampling: MaskUpsampling
    min_stability: float
    offset: float
    nms_threshold: float

    def select(self, proposals: Iterable[Proposal], accepts: Callable[[Box], bool]) -> Iterator[Survivor]:
        """Yields the proposals that stay, best first.

        Args:
            proposals: in any order.
            accepts: whether a box may stay and suppress others; asked last.
        """
        kept = np.zeros((0, 4), np.float64)
        for proposal in sorted(proposals, key=lambda entry: -entry.score):
            logits = proposal.whole()
            if self._is_suppressed(logits, kept):
                continue
            window, stability = self.upsampling.above_with_stability(logits, self.offset)
            if stability < self.min_stability:
                continue
            rle = window.encode(self.upsampling.image)
            x0, y0, x1, y1 = rle.box
            box = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
            if not accepts(box) or (_bound_iou(box, box, kept) > self.nms_threshold).any():
                continue
            kept = np.concatenate([kept, [box]])
            yield Survivor(proposal, rle, box, stability)

    def _is_suppressed(self, logits: NDArray[np.float32], kept: NDArray[np.float64]) -> bool:
        bounds = self.upsampling.box_bounds(logits)
        return bounds is not None and bool((_bound_iou(*bounds, kept) > self.nms_threshold).any())


def _bound_iou(inner: Box, outer: Box, kept: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least intersection over union of a box between `inner` and `outer` with each of `kept`, (N, 4)."""
    x0, y0 = np.maximum(inner[0], kept[:, 0]), np.maximum(inner[1], kept[:, 1])
    x1, y1 = np.minimum(inner[2], kept[:, 2]), np.minimum(inner[3], kept[:, 3])
    common = np.maximum(x1 - x0, 0) * np.maximum(y1 - y0, 0)
    areas = (kept[:, 2] - kept[:, 0]) * (kept[:, 3] - kept[:, 1])
    union = (outer[2] - outer[0]) * (outer[3] - outer[1]) + areas - common
    # boxes of one row or column have no area here, as in the original, and suppress nothing
    overlaps: NDArray[np.float64] = np.divide(common, union, out=np.zeros(len(kept)), where=union > 0)
    return overlaps
