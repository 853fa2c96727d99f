"""The fused multiply-add has one rounding, compared with exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.labels.arithmetic import fuse_multiply_add

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6)


@settings(max_examples=300, deadline=None)
@given(factor=FLOATS, other=FLOATS, addend=FLOATS)
def test_fused_multiply_add_rounds_once(factor, other, addend):
    check_fused(factor, other, addend)


@pytest.mark.parametrize("sign", [-1, 1])
def test_fused_multiply_add_next_to_the_midpoint(sign):
    """The product lies halfway between two float32, and the addend is too small for float64 to see."""
    check_fused(1 + 2.0**-12, 1 + 2.0**-12, sign * 2.0**-60)


def check_fused(factor: float, other: float, addend: float) -> None:
    result = fuse_multiply_add(*(np.array([value], np.float32) for value in (factor, other, addend)))[0]
    exact = Fraction(factor) * Fraction(other) + Fraction(addend)
    error = abs(Fraction(float(result)) - exact)
    for direction in (-math.inf, math.inf):
        neighbor = np.nextafter(result, np.float32(direction))
        assert error <= abs(Fraction(float(neighbor)) - exact)
