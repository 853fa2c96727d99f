"""Windows of pixels become run lengths."""

from __future__ import annotations

import numpy as np

from densevit.masks import RLE, encode_window
from densevit.tasks.mask_upsampling import Window


def runs(window: Window, size: tuple[int, int]) -> RLE:
    """The mask of a window in a picture of that (height, width)."""
    if not window.values.size:
        height, width = size
        return RLE((height, width), np.array([height * width], np.uint32))
    return encode_window(window.values, window.top, window.left, (size[0], size[1]))
