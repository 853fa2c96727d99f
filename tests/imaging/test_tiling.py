"""Tiles cover an image exactly once, see enough around themselves, and start where the network's grid does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.imaging import Size
from densevit.imaging.tiling import cut_tiles


@st.composite
def cuts(draw):
    multiple = draw(st.sampled_from([1, 4, 16]))
    halo = multiple * draw(st.integers(0, 3))
    tile = 2 * halo + multiple * draw(st.integers(1, 6))
    size = Size(draw(st.integers(1, 200)), draw(st.integers(1, 200)))
    return size, tile, halo, multiple


@given(cuts(), st.sampled_from([1, 2, 3]))
@settings(max_examples=200, deadline=None)
def test_geometry(cut, scale):
    size, tile_px, halo, multiple = cut
    counts = np.zeros((size.height * scale, size.width * scale), int)
    for tile in cut_tiles(size, tile_px, halo_px=halo, multiple=multiple):
        counts[tile.outer(scale)] += 1
        inner, outer = tile.inner(scale), tile.outer(scale)
        for within, place in zip(inner, outer, strict=True):
            assert within.stop - within.start == place.stop - place.start > 0
        for side, own, read, at in zip(
            size, (tile.rows, tile.columns), (tile.read_rows, tile.read_columns), inner, strict=True
        ):
            assert read[0] % multiple == 0
            assert 0 <= read[0] <= own[0] < own[1] <= read[1] <= side
            # the halo is whole, but for the image's own edges
            assert own[0] - read[0] >= halo or read[0] == 0
            assert read[1] - own[1] >= halo or read[1] == side
            # one size is seen, but for what padding to the multiple makes up for
            assert min(side, tile_px) - multiple < read[1] - read[0] <= tile_px
            assert at.start == (own[0] - read[0]) * scale
    assert (counts == 1).all()


def test_a_tile_larger_than_the_image_is_the_image():
    (tile,) = cut_tiles(Size(20, 30), 512, halo_px=32, multiple=16)
    assert tile.rows == tile.read_rows == (0, 20)
    assert tile.columns == tile.read_columns == (0, 30)
    assert tile.seen == Size(20, 30)


@pytest.mark.parametrize(
    ("tile", "halo", "message"),
    [(64, 32, "larger than twice the halo of 32"), (100, 32, "multiples of 16"), (112, 40, "multiples of 16")],
)
def test_refusals(tile, halo, message):
    with pytest.raises(ValueError, match=message):
        list(cut_tiles(Size(500, 500), tile, halo_px=halo, multiple=16))
