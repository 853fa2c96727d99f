"""An image's mask as the covered share of each cell of the mask decoder's output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from densevit.imaging import Size
from densevit.variants.segment_anything import FRAME_PX, MASK_SIDE


class Coverage:
    """Converts masks of one image to the resolution of the decoder's masks.

    A cell is 4 x 4 pixels of the 1024 x 1024 frame. Its value is the share of the cell that the mask covers, so
    that an outline lies between cells, where the upsampled logits cross 0.

    Args:
        content: size of the resized image in the frame.
        image: original size of the image.
    """

    def __init__(self, content: Size, image: Size) -> None:
        self._rows = _compute_shares(content.height, image.height)
        self._columns = _compute_shares(content.width, image.width)

    def __call__(self, window: NDArray[np.bool_], top: int, left: int) -> NDArray[np.uint8]:
        """The cells of a mask that is empty outside a window.

        Args:
            window: (h, w) bool.
            top: image row of the window's first row.
            left: image column of the window's first column.

        Returns:
            (256, 256) uint8, 255 where the mask covers the whole cell; 0 beyond the image.
        """
        height, width = window.shape
        rows, columns = self._rows[:, top : top + height], self._columns[:, left : left + width]
        down, across = rows.any(axis=1), columns.any(axis=1)
        cells = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
        shares = rows[down] @ window.astype(np.float32) @ columns[across].T
        cells[np.ix_(down, across)] = np.rint(255 * shares.clip(0, 1))
        return cells


def _compute_shares(content_px: int, image_px: int) -> NDArray[np.float32]:
    """(256, pixels): weights of the pixels in the mean over each cell; a row sums to 1, beyond the image to 0."""
    # In whole units of 1 / content_px of an image pixel: with rounded edges, a cell that begins where the image
    # ends can get a length of 1e-15 pixels, and then counts as covered.
    edges = np.arange(MASK_SIDE + 1)[:, None] * (FRAME_PX // MASK_SIDE * image_px)
    edges = np.minimum(edges, image_px * content_px)
    pixels = np.arange(image_px) * content_px
    common = np.maximum(np.minimum(edges[1:], pixels + content_px) - np.maximum(edges[:-1], pixels), 0)
    lengths = np.diff(edges, axis=0)
    shares = np.divide(common, lengths, out=np.zeros(common.shape), where=lengths > 0)
    weights: NDArray[np.float32] = shares.astype(np.float32)
    return weights
