"""Masks to try things on."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)

MASKS = SHAPES.flatmap(lambda shape: arrays(bool, shape, elements=st.booleans()))
"""(H, W) bool of any kind, most of them small and ragged."""


def blobs(height: int, width: int, *, seed: int, count: int = 6) -> np.ndarray:
    """(H, W) bool: discs, some of them cut out again."""
    generator = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    y, x = np.mgrid[:height, :width]
    for index in range(count):
        radius = generator.uniform(2, min(height, width) / 3)
        center = generator.uniform(0, (height, width))
        mask[(y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2] = index % 3 < 2
    return mask
