"""A mask of the image as shares of the mask decoder's cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from densevit.imaging import Size
from densevit.variants.segment_anything import FRAME_PX, MASK_SIDE


class Coverage:
    """From pixels of one image to cells of the decoder's masks.

    A cell is 4 x 4 pixels of the frame of 1024. What it is given is the share of it that the mask covers, so that
    outlines lie between cells, where the enlarged logits cross 0.

    Args:
        content: what the image was resized to in the frame.
        image: the image's own size.
    """

    def __init__(self, content: Size, image: Size) -> None:
        self._rows = _shares(content.height, image.height)
        self._columns = _shares(content.width, image.width)

    def __call__(self, window: NDArray[np.bool_], top: int, left: int) -> NDArray[np.uint8]:
        """The cells of a mask that is empty but for a window.

        Args:
            window: (h, w) bool.
            top: the image's row of the window's first.
            left: the image's column of the window's first.

        Returns:
            (256, 256) uint8, 255 where the mask covers all of a cell; 0 in cells beyond the image.
        """
        height, width = window.shape
        rows, columns = self._rows[:, top : top + height], self._columns[:, left : left + width]
        down, across = rows.any(axis=1), columns.any(axis=1)
        cells = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
        shares = rows[down] @ window.astype(np.float32) @ columns[across].T
        cells[np.ix_(down, across)] = np.rint(255 * shares.clip(0, 1))
        return cells


def _shares(content_px: int, image_px: int) -> NDArray[np.float32]:
    """(256, pixels): how much of a cell's part within the image is of each pixel; rows sum to 1, or to 0."""
    # clipped as an integer: scaled first, the rounding leaves 1e-15 of a pixel to the cell after the image's last
    frame_edges = np.minimum(np.arange(MASK_SIDE + 1) * (FRAME_PX // MASK_SIDE), content_px)
    edges = (frame_edges * image_px / content_px)[:, None]
    pixels = np.arange(image_px)
    common = np.maximum(np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels), 0)
    lengths = np.diff(edges, axis=0)
    shares: NDArray[np.float32] = np.divide(common, lengths, out=np.zeros_like(common), where=lengths > 0).astype(
        np.float32
    )
    return shares
