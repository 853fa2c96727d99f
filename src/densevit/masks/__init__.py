"""Masks of single objects: run lengths, outlines, boxes, simulated clicks. They need numpy alone.

Sizes are (height, width), points (x, y) in pixels, boxes (x0, y0, x1, y1) with x1 and y1 exclusive.
"""

from densevit.masks.boxes import box_iou, non_maximum_suppression
from densevit.masks.clicks import Click, choose_click
from densevit.masks.polygons import signed_area, trace_polygons
from densevit.masks.rle import RLE, encode, encode_window, intersection, iou
from densevit.masks.types import MaskError

__all__ = [
    "RLE",
    "Click",
    "MaskError",
    "box_iou",
    "choose_click",
    "encode",
    "encode_window",
    "intersection",
    "iou",
    "non_maximum_suppression",
    "signed_area",
    "trace_polygons",
]
