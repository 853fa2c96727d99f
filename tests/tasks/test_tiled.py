"""Tiles around any task: how their side is given, and what they refuse."""

import numpy as np
import pytest

from densevit.core.errors import UsageError
from densevit.imaging import Photo
from densevit.tasks.super_resolution import SuperResolution
from densevit.tasks.table import make_task
from densevit.tasks.tiled import Tiled, parse_tile
from densevit.zoo import find_model
from helpers import tiny

TASK = SuperResolution(2)


@pytest.mark.parametrize(
    ("tile", "side"), [("auto", 512), ("whole", None), (256, 256), ("256", 256), (100, 112), ("65", 80)]
)
def test_sides(tile, side):
    assert parse_tile(tile, TASK) == side


@pytest.mark.parametrize("tile", ["", "x", "1e3", "-1", "64", 0, -5, 64, 99999, "9999999", "1.5"])
def test_sides_that_cannot_be(tile):
    with pytest.raises(UsageError, match="must be auto, whole, or 65 to 16384 pixels"):
        parse_tile(tile, TASK)


def test_tasks_by_their_default():
    assert isinstance(make_task(find_model("sr-x2").manifest()), Tiled)
    assert not isinstance(make_task(find_model("sr-x2").manifest(), tile="whole"), Tiled)
    assert not isinstance(make_task(tiny.manifest()), Tiled)
    assert isinstance(make_task(tiny.manifest(), tile=512), Tiled)
    for name in ("cls-b0-r224", "sam-l0"):
        make_task(find_model(name).manifest(), tile="whole")
        with pytest.raises(UsageError, match="needs the whole image; leave tile out"):
            make_task(find_model(name).manifest(), tile=512)


def test_each_tile_is_one_call_of_a_tiles_size():
    shapes = []

    def run(function, tensors):
        shapes.append(tensors["image"].shape[2:])
        return {"enlarged": tensors["image"].repeat(2, 2).repeat(2, 3)}

    pixels = np.zeros((200, 300, 3), np.uint8)
    Tiled(TASK, 128).answer(Photo(pixels), run)
    assert len(shapes) > 4
    assert all(max(shape) <= 128 for shape in shapes)
    shapes.clear()
    Tiled(TASK, 512).answer(Photo(pixels), run)
    assert shapes == [(208, 304)]


def test_batches_are_refused():
    tiled = Tiled(TASK, 128)
    assert tiled.answer_batch([], lambda function, tensors: {}) == []
    with pytest.raises(UsageError, match="takes images one by one"):
        tiled.answer_batch([Photo(np.zeros((8, 8, 3), np.uint8))], lambda function, tensors: {})
