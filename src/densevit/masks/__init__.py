"""Masks of single objects: run lengths, outlines, boxes, simulated clicks. Plain numpy.

Sizes are (height, width), points (x, y) in pixels, boxes (x0, y0, x1, y1) with x1 and y1 exclusive.
"""

from densevit.masks.boxes import box_iou, non_maximum_suppression
from densevit.masks.clicks import Click, next_click
from densevit.masks.polygons import polygons, signed_area
from densevit.masks.rle import RLE, MaskError, encode, encode_window, intersection, iou

__all__ = [
    "RLE",
    "Click",
    "MaskError",
    "box_iou",
    "encode",
    "encode_window",
    "intersection",
    "iou",
    "next_click",
    "non_maximum_suppression",
    "polygons",
    "signed_area",
]
