"""Pictures in and out: read any file, resize, fit into a network's input, save.

Sizes are (height, width), points are (x, y) in picture pixels, pictures are (H, W, 3) uint8 RGB arrays.
"""

from densevit.imaging.cropping import centre_crop
from densevit.imaging.enlarging import enlarge, phase_weights
from densevit.imaging.photo import Photo, read_photo, save_photo
from densevit.imaging.placement import Padding, Placement, SizePolicy, fit
from densevit.imaging.reading import read
from densevit.imaging.resampling import ResizeKind, resize
from densevit.imaging.saving import save
from densevit.imaging.sources import SUFFIXES, Source, find
from densevit.imaging.types import DEFAULT_MAX_PIXELS, Picture, PictureError, Size

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "SUFFIXES",
    "Padding",
    "Photo",
    "Picture",
    "PictureError",
    "Placement",
    "ResizeKind",
    "Size",
    "SizePolicy",
    "Source",
    "centre_crop",
    "enlarge",
    "find",
    "fit",
    "phase_weights",
    "read",
    "read_photo",
    "resize",
    "save",
    "save_photo",
]
