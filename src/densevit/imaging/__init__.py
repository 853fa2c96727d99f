"""Images in and out: read any file, resize, fit into a network's input, save.

Sizes are (height, width), points are (x, y) in image pixels, images are (H, W, 3) uint8 RGB arrays.
"""

from densevit.imaging.cropping import center_crop
from densevit.imaging.enlarging import compute_phase_weights, enlarge
from densevit.imaging.photo import Photo, read_photo, save_photo
from densevit.imaging.placement import Padding, Placement, SizePolicy, resize_and_pad
from densevit.imaging.reading import read
from densevit.imaging.resampling import ResizeKind, resize
from densevit.imaging.saving import save
from densevit.imaging.sources import SUFFIXES, Source, find_images
from densevit.imaging.types import DEFAULT_MAX_PIXELS, ImageError, ImageSource, Size

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "SUFFIXES",
    "ImageError",
    "ImageSource",
    "Padding",
    "Photo",
    "Placement",
    "ResizeKind",
    "Size",
    "SizePolicy",
    "Source",
    "center_crop",
    "compute_phase_weights",
    "enlarge",
    "find_images",
    "read",
    "read_photo",
    "resize",
    "resize_and_pad",
    "save",
    "save_photo",
]
