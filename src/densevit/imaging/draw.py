"""Draw label maps: colors, overlays, legends, images side by side.

Images are (H, W, 3) uint8 RGB arrays, palettes (N, 3) uint8 RGB: row i is the color of label i.
"""

from __future__ import annotations

import colorsys
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from densevit.core.errors import UsageError

if TYPE_CHECKING:  # Pillow costs 30 ms to import and only the legend needs it
    from collections.abc import Sequence

    from numpy.typing import NDArray


_ROOT = 1.2207440846057596  # of x**4 = x + 1

# A legend's rows grow with the image, within what is readable and what is too much.
_ROWS_PER_IMAGE = 24
_MIN_ROW_PX, _MAX_ROW_PX = 16, 96
_MIN_COLUMN_ROWS = 12  # a column of the legend is at least this long, however low the image is
_MAX_NAME_LENGTH = 40


def colorize(labels: NDArray[Any], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Color of each label: (H, W) integers -> (H, W, 3). Labels outside the palette (void, 255) are black.

    Raises ValueError for labels or palettes of another shape or type.
    """
    _check_labels(labels)
    _check_palette(palette)
    if labels.dtype != np.uint8:
        is_known = (labels >= 0) & (labels < len(palette))
        labels = np.where(is_known, labels, len(palette))
    # One row for every value that a label can have now, so that the look-up needs no test per pixel.
    colors = np.zeros((max(256, len(palette) + 1), 3), np.uint8)
    colors[: len(palette)] = palette
    return colors.take(labels, axis=0)


def overlay(
    image: NDArray[np.uint8], labels: NDArray[Any], palette: NDArray[np.uint8], *, opacity: float = 0.5
) -> NDArray[np.uint8]:
    """An image under the colors of its labels: image * (1 - opacity) + color * opacity, rounded.

    image: (H, W, 3); labels: (H, W) integers; opacity: 0 (image) to 1 (colors), in steps of 1/256.

    Labels outside the palette count as black, as in `colorize`. Raises UsageError for another
    opacity, ValueError for other shapes.
    """
    _check_image(image)
    if labels.shape != image.shape[:2]:
        raise ValueError(f"labels: got shape {labels.shape}; allowed: {image.shape[:2]}, like the image")
    if not 0 <= opacity <= 1:
        raise UsageError(f"opacity: got {opacity}; allowed: 0 to 1")
    # 16-bit fixed point, twice as fast as float32: the weights sum to 256, and 255 * 256 + 128 fits.
    color_weight = round(opacity * 256)
    blend = image.astype(np.uint16) * np.uint16(256 - color_weight)
    blend += colorize(labels, palette).astype(np.uint16) * np.uint16(color_weight)
    blend += np.uint16(128)
    blend >>= np.uint16(8)
    return blend.astype(np.uint8)


def side_by_side(left: NDArray[np.uint8], right: NDArray[np.uint8], *, gap_px: int = 8) -> NDArray[np.uint8]:
    """Two images in one, tops aligned, on white.

    (H1, W1, 3) and (H2, W2, 3) give (max(H1, H2), W1 + gap_px + W2, 3).
    Raises ValueError for anything but (H, W, 3) uint8 images and a gap of at least 0.
    """
    _check_image(left)
    _check_image(right)
    if gap_px < 0:
        raise ValueError(f"gap_px: got {gap_px}; allowed: 0 or more")
    height = max(len(left), len(right))
    width = left.shape[1] + gap_px + right.shape[1]
    both = np.full((height, width, 3), 255, np.uint8)
    both[: len(left), : left.shape[1]] = left
    both[: len(right), left.shape[1] + gap_px :] = right
    return both


def make_palette(classes: int) -> NDArray[np.uint8]:
    """(classes, 3) colors for data without any: always the same, never black.

    Hue, saturation and brightness step by the powers of 1 / x, where x**4 = x + 1 (Roberts 2018, The
    unreasonable effectiveness of quasirandom sequences, R3). That spreads the first n colors evenly for any n,
    and the first 4096 all differ. A longer palette begins with the shorter one.
    Raises ValueError for fewer than 1 class.
    """
    if classes < 1:
        raise ValueError(f"classes: got {classes}; allowed: 1 or more")
    colors = np.empty((classes, 3))
    for index in range(classes):
        hue, saturation, value = ((0.5 + index / _ROOT**power) % 1 for power in (1, 2, 3))
        colors[index] = colorsys.hsv_to_rgb(hue, 0.35 + 0.65 * saturation, 0.45 + 0.55 * value)
    return np.rint(colors * 255).astype(np.uint8)


def draw_legend(names: Sequence[str], palette: NDArray[np.uint8], *, row_px: int = 24) -> NDArray[np.uint8]:
    """Draw one row per class, color and name, black on white: (len(names) * row_px, W, 3).

    names: at least one, and at most one per palette row; those above 40 characters are cut short.
    row_px: height of a row, at least 8; the width follows from the longest name.

    Characters that Pillow's own font lacks appear as empty boxes. Raises ValueError for other arguments.
    """
    from PIL import Image, ImageDraw, ImageFont

    _check_legend(names, palette)
    if row_px < 8:
        raise ValueError(f"row_px: got {row_px}; allowed: 8 or more")
    lines = [_shorten(name) for name in names]
    font = ImageFont.load_default(size=row_px * 0.6)
    margin = row_px // 6
    swatch = row_px - 2 * margin
    text_left = 2 * row_px
    text_width = max(font.getlength(line) for line in lines)

    image = Image.new("RGB", (text_left + int(text_width) + row_px, row_px * len(lines)), "white")
    draw = ImageDraw.Draw(image)
    for row, (line, color) in enumerate(zip(lines, palette, strict=False)):
        top = row * row_px + margin
        box = (margin, top, margin + swatch + row_px // 2, top + swatch)
        draw.rectangle(box, fill=tuple(int(value) for value in color))
        draw.text((text_left, row * row_px + row_px / 2), line, fill="black", font=font, anchor="lm")
    return np.array(image)


def add_legend(image: NDArray[np.uint8], names: Sequence[str], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put a legend to the right of an image, on white: (H, W, 3) -> (H or more, W + legend, 3).

    names: as for `draw_legend`; `palette[i]` is the color of `names[i]`.

    The legend's rows are a 24th of the image's height, but 16 to 96 pixels. A legend higher than the image
    goes on in further columns of at least 12 rows. The image itself stays at the top left, unchanged.
    Raises ValueError for other arguments.
    """
    _check_image(image)
    _check_legend(names, palette)
    height = len(image)
    row_px = min(max(height // _ROWS_PER_IMAGE, _MIN_ROW_PX), _MAX_ROW_PX)
    columns = math.ceil(len(names) / max(height // row_px, _MIN_COLUMN_ROWS))
    rows = math.ceil(len(names) / columns)  # columns of about equal length
    for first in range(0, len(names), rows):
        part = slice(first, first + rows)
        column = draw_legend(names[part], palette[part], row_px=row_px)
        image = side_by_side(image, column, gap_px=row_px // 2)
    return image


def _shorten(name: str) -> str:
    """One line of bounded length: a line break would run into the next row of the legend."""
    line = " ".join(name.split())
    return line if len(line) <= _MAX_NAME_LENGTH else f"{line[: _MAX_NAME_LENGTH - 3]}..."


def _check_image(image: NDArray[Any]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: got {image.dtype} {image.shape}; allowed: uint8 (H, W, 3)")


def _check_labels(labels: NDArray[Any]) -> None:
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 2:
        raise ValueError(f"labels: got {labels.dtype} {labels.shape}; allowed: integers (H, W)")


def _check_palette(palette: NDArray[Any]) -> None:
    if palette.dtype != np.uint8 or palette.ndim != 2 or palette.shape[1] != 3 or len(palette) == 0:
        raise ValueError(f"palette: got {palette.dtype} {palette.shape}; allowed: uint8 (N, 3), not empty")


def _check_legend(names: Sequence[str], palette: NDArray[Any]) -> None:
    _check_palette(palette)
    if not 1 <= len(names) <= len(palette):
        raise ValueError(f"names: got {len(names)} for {len(palette)} colors; allowed: 1 to {len(palette)}")
