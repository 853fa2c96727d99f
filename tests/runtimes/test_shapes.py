"""Compiled shapes: bounded per function and per process, the least recently used out first."""

import gc

import pytest

from densevit.runtimes import shapes
from densevit.runtimes.shapes import STATIC_SHAPES, ShapeCache


def shape(side: int):
    return ((1, side, side, 3),)


class Compiler:
    """Counts what is compiled."""

    def __init__(self) -> None:
        self.compiled = []

    def __call__(self, wanted):
        self.compiled.append(wanted)
        return f"for {wanted}"


def use(cache, *sides, times=2):
    for side in sides:
        for _ in range(times):
            cache.find(shape(side))


def test_the_first_shape_is_static_and_the_next_only_when_it_comes_again():
    compiler = Compiler()
    cache = ShapeCache(compiler)
    assert cache.find(shape(1)) == f"for {shape(1)}"
    assert cache.find(shape(2)) == "for None"
    assert cache.find(shape(2)) == f"for {shape(2)}"
    assert compiler.compiled == [shape(1), None, shape(2)]


def test_a_function_keeps_a_bounded_number():
    compiler = Compiler()
    cache = ShapeCache(compiler)
    use(cache, *range(1, 20))
    assert len([wanted for wanted in compiler.compiled if wanted is not None]) == STATIC_SHAPES


def test_a_process_keeps_a_bounded_number(monkeypatch):
    monkeypatch.setattr(shapes, "STATIC_SHAPES_OF_PROCESS", 3)
    monkeypatch.setattr(shapes, "_PROCESS", shapes._Process())
    first, second = Compiler(), Compiler()
    one, other = ShapeCache(first), ShapeCache(second)
    use(one, 1, 2)
    use(other, 3)
    use(one, 1)
    # the fourth shape takes the place of the least recently used one, which is another function's
    use(other, 4)
    before = len(first.compiled)
    use(one, 1, times=1)
    assert len(first.compiled) == before
    use(one, 2, times=1)
    assert len(first.compiled) == before + 1


def test_a_function_that_is_gone_does_not_count_against_the_others(monkeypatch):
    monkeypatch.setattr(shapes, "STATIC_SHAPES_OF_PROCESS", 1)
    monkeypatch.setattr(shapes, "_PROCESS", shapes._Process())
    gone = ShapeCache(Compiler())
    use(gone, 1)
    del gone
    gc.collect()
    compiler = Compiler()
    cache = ShapeCache(compiler)
    use(cache, 5, times=3)
    assert compiler.compiled == [shape(5)]


@pytest.mark.parametrize("count", [1, 5])
def test_equal_shapes_are_compiled_once(count):
    compiler = Compiler()
    cache = ShapeCache(compiler)
    use(cache, 7, times=count)
    assert compiler.compiled == [shape(7)]
