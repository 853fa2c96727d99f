"""Large images in tiles, for any task whose result can be put together from those of its parts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from densevit.core.errors import UsageError
from densevit.imaging import ImageSource, Size, SizePolicy
from densevit.imaging.tiling import Tile, cut_tiles
from densevit.tasks.base import Run, Signature
from densevit.tasks.one_call import OneCallTask

Image = TypeVar("Image")
Result = TypeVar("Result")
MAX_TILE_PX = 16_384


class Canvas(Protocol[Result]):
    """A result that is put together from those of tiles."""

    def paste(self, part: Result, tile: Tile) -> None:
        """Puts the answer for a tile where it belongs, without the halo."""
        ...

    def finish(self) -> Result:
        """The whole result, after the last tile."""
        ...


class TileableTask(OneCallTask[Image, Result]):
    """A task that can also answer an image tile by tile.

    Attributes:
        multiple: sides of the network's input are multiples of this.
        halo_px: pixels around a tile that are computed and then cut off, a multiple of `multiple`.
        default_tile_px: the side of its tiles unless the user says another; None: the whole image at once.
    """

    multiple: int
    default_tile_px: int | None = None

    @property
    @abstractmethod
    def halo_px(self) -> int:
        """Pixels around a tile that are computed and then cut off."""

    @abstractmethod
    def measure(self, image: Image) -> Size:
        """Height and width of an image."""

    @abstractmethod
    def crop(self, image: Image, rows: slice, columns: slice) -> Image:
        """A window of an image."""

    @abstractmethod
    def make_canvas(self, image: Image) -> Canvas[Result]:
        """An empty result for an image."""


class Tiled(Generic[Image, Result]):
    """A task that answers images larger than a tile part by part.

    Beyond input and output, memory depends only on `tile_px`.

    Args:
        task: answers a tile as if it were an image.
        tile_px: height and width of a tile with its halo, a multiple of the task's `multiple`.

    Raises:
        UsageError: `tile_px` is not a multiple, or leaves nothing between the halos.
    """

    def __init__(self, task: TileableTask[Image, Result], tile_px: int) -> None:
        # refused here, not at the first large image
        next(cut_tiles(Size(1, 1), tile_px, halo_px=task.halo_px, multiple=task.multiple))
        self.task = task
        self.tile_px = tile_px

    memory_advice = "use smaller tiles (--tile 256, tile=256)"

    @property
    def size(self) -> SizePolicy:
        """The working size, of each tile."""
        return self.task.size

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """Those of the task."""
        return self.task.signatures

    def read(self, source: ImageSource, *, max_pixels: int) -> Image:
        """Reads an image; it is preprocessed tile by tile."""
        return self.task.load_image(source, max_pixels=max_pixels)

    def answer(self, image: Image, run: Run) -> Result:
        """The result of the whole image, of one tile if it is not larger than that."""
        size = self.task.measure(image)
        if max(size) <= self.tile_px:
            return self.task.answer(self.task.prepare(image), run)
        canvas = self.task.make_canvas(image)
        for tile in cut_tiles(size, self.tile_px, halo_px=self.task.halo_px, multiple=self.task.multiple):
            window = self.task.crop(image, slice(*tile.read_rows), slice(*tile.read_columns))
            canvas.paste(self.task.answer(self.task.prepare(window), run), tile)
        return canvas.finish()

    def answer_batch(self, images: Sequence[Image], run: Run) -> list[Result]:
        """Always refused: each image may need several calls.

        Raises:
            UsageError: always, unless there is no image.
        """
        if images:
            raise UsageError("this model takes images one by one, tile by tile; use stream, or tile whole")
        return []


def parse_tile(tile: int | str, task: TileableTask[Any, Any]) -> int | None:
    """The side of the tiles in pixels, rounded up to a multiple that the network takes; None for the whole image.

    Args:
        tile: pixels, "auto" for the task's own side, or "whole".
        task: to be tiled.

    Raises:
        UsageError: anything else, or a side that leaves nothing between the halos.
    """
    if tile == "auto":
        return task.default_tile_px
    if tile == "whole":
        return None
    text = str(tile)
    least = 2 * task.halo_px
    if not text.isdecimal() or len(text) > 6 or not least < int(text) <= MAX_TILE_PX:
        raise UsageError(
            f"tile (--tile, tile=) must be auto, whole, or {least + 1} to {MAX_TILE_PX} pixels, got {tile!r}"
        )
    return -(-int(text) // task.multiple) * task.multiple
