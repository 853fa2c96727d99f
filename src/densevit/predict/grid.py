"""Where "segment everything" looks: a grid of points, and overlapping crops for small objects.

Segment Anything's generator of masks, arXiv 2304.02643, appendix B ("Cropping", "Filtering").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from densevit.imaging import Size

EDGE_PX = 20
"""A mask that ends this close to the edge of a crop continues beyond it, and another crop shows more of it."""


@dataclass(frozen=True)
class Crop:
    """Part of an image in pixels, x1 and y1 exclusive; layer 0 is the whole image."""

    x0: int
    y0: int
    x1: int
    y1: int
    layer: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1)."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def area(self) -> int:
        """Number of pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)


def generate_crops(image: Size, layers: int, overlap_ratio: float) -> list[Crop]:
    """Generates the whole image, then layer by layer 2x2, 4x4 ... crops that overlap.

    Args:
        image: (height, width).
        layers: number of layers beyond the whole image.
        overlap_ratio: share of the shorter side by which the crops of the first layer overlap; later ones overlap
            by half as much each.
    """
    found = [Crop(0, 0, image.width, image.height, 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(image) * (2 / count))
        height, width = (math.ceil((overlap * (count - 1) + side) / count) for side in image)
        for left in ((width - overlap) * index for index in range(count)):
            for top in ((height - overlap) * index for index in range(count)):
                right, bottom = min(left + width, image.width), min(top + height, image.height)
                found.append(Crop(left, top, right, bottom, layer))
    return found


def build_point_grid(size: Size, per_side: int) -> NDArray[np.float64]:
    """Builds (per_side ** 2, 2) points (x, y) in pixels: the centers of equal cells, row by row."""
    centers = (np.arange(per_side) + 0.5) / per_side
    x, y = np.meshgrid(centers * size.width, centers * size.height)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def touches_crop_edge(box: tuple[int, int, int, int], crop: Crop, image: Size) -> bool:
    """Whether a mask was cut off by its crop.

    Args:
        box: (x0, y0, x1, y1) of the mask in image pixels, x1 and y1 its last pixels.
        crop: the crop that it was found in.
        image: (height, width).
    """
    whole = (0, 0, image.width, image.height)
    return any(
        abs(side - edge) <= EDGE_PX and abs(side - border) > EDGE_PX
        for side, edge, border in zip(box, crop.box, whole, strict=True)
    )
