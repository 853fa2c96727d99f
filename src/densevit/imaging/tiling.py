"""Cut a large image into tiles, each with a halo that is computed and cut off again, so that no seam shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from densevit.core.errors import UsageError
from densevit.imaging.types import Size

Span = tuple[int, int]
"""(first, one past the last) along one axis, in pixels of the image."""


@dataclass(frozen=True)
class Tile:
    """One piece of an image.

    Attributes:
        rows: of the image that this tile answers for.
        columns: likewise.
        read_rows: rows that the network sees: `rows` and the halo, within the image.
        read_columns: likewise.
    """

    rows: Span
    columns: Span
    read_rows: Span
    read_columns: Span

    @property
    def seen(self) -> Size:
        """Height and width of what the network sees."""
        return Size(self.read_rows[1] - self.read_rows[0], self.read_columns[1] - self.read_columns[0])

    def inner(self, scale: int) -> tuple[slice, slice]:
        """Where the answer lies in the network's output, which is `scale` times as large as its input."""
        return _shift(self.rows, self.read_rows, scale), _shift(self.columns, self.read_columns, scale)

    def outer(self, scale: int) -> tuple[slice, slice]:
        """Where the answer belongs in the whole output."""
        return (
            slice(self.rows[0] * scale, self.rows[1] * scale),
            slice(self.columns[0] * scale, self.columns[1] * scale),
        )


def _shift(span: Span, read: Span, scale: int) -> slice:
    return slice((span[0] - read[0]) * scale, (span[1] - read[0]) * scale)


def cut_tiles(image: Size, tile_px: int, *, halo_px: int, multiple: int) -> Iterator[Tile]:
    """Cuts an image into tiles, row by row from the top left.

    The network sees windows of `tile_px`, halo included, if the image is that large. Windows at the right and
    bottom edges move inwards rather than become smaller, so that few sizes are compiled. All windows start at
    multiples of `multiple`, so that the network's coarse maps lie as in the whole image; a window that ends
    with the image may lack up to `multiple` - 1 pixels, which padding adds.

    Args:
        image: height and width.
        tile_px: side of the window that the network sees, a multiple of `multiple`.
        halo_px: pixels at each side of the window that are computed but not used, except at the image's
            edges; a multiple of `multiple`.
        multiple: the sides of the network's input are multiples of this.

    Raises:
        UsageError: sides that are not multiples, or a window that is all halo.
    """
    if halo_px < 0 or tile_px <= 2 * halo_px:
        raise UsageError(f"a tile must be larger than twice the halo of {halo_px} pixels, got {tile_px}")
    if tile_px % multiple or halo_px % multiple:
        raise UsageError(f"tile and halo must be multiples of {multiple}, got {tile_px} and {halo_px}")
    columns = list(_cut_axis(image.width, tile_px, halo_px, multiple))
    for rows, read_rows in _cut_axis(image.height, tile_px, halo_px, multiple):
        for own, read in columns:
            yield Tile(rows, own, read_rows, read)


def _cut_axis(side: int, tile: int, halo: int, multiple: int) -> Iterator[tuple[Span, Span]]:
    """(answered, seen) along one axis; the answered spans follow each other without gap or overlap."""
    last_start = max(0, -(-(side - tile) // multiple) * multiple)
    first = 0
    while first < side:
        start = min(max(0, first - halo), last_start)
        end = min(side, start + tile)
        last = side if end == side else end - halo
        yield (first, last), (start, end)
        first = last
