"""Compiled shapes: a bounded number of them, the least recently used out first, for runtimes that compile."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

Compiled = TypeVar("Compiled")
Shapes: TypeAlias = tuple[tuple[int, ...], ...]
"""Of a function's inputs, in order."""

STATIC_SHAPES = 4
"""Largest number of static shapes that a function keeps compiled."""
STATIC_SHAPES_OF_PROCESS = 32
"""Largest number of static shapes that all functions of all models of this process keep compiled."""
RUNS_BEFORE_EVICTION = 8
"""Runs of a new shape without one of the least recently used static shape, after which it takes its place.

Compiling costs about as much as ten runs gain; with a smaller number, images of many sizes would compile for ever.
"""
_REMEMBERED_SHAPES = 1024


class ShapeCache(Generic[Compiled]):
    """What one function was compiled to.

    A static shape runs a fifth faster than the dynamic graph and takes a fraction of a second to compile. The
    first shape is compiled at once, a later one when it comes a second time. When `STATIC_SHAPES` are compiled, a
    shape that comes often takes the place of the least recently used one. All others run in the dynamic graph.

    Args:
        compile_for: compiles the function for static shapes, or for any with None.
    """

    def __init__(self, compile_for: Callable[[Shapes | None], Compiled]) -> None:
        self._compile_for = compile_for
        self._lock = threading.Lock()
        # both with the least recently used first
        self._static: OrderedDict[Shapes, Compiled] = OrderedDict()
        self._last_runs: OrderedDict[Shapes, deque[int]] = OrderedDict()
        self._dynamic: Compiled | None = None
        self._runs = 0

    def find(self, shapes: Shapes) -> Compiled:
        """What runs inputs of these shapes; compiles where that pays off."""
        with self._lock:
            last_runs = self._record_run(shapes)
            if shapes in self._static:
                self._static.move_to_end(shapes)
            elif self._deserves_static(last_runs):
                if len(self._static) >= STATIC_SHAPES:
                    self._static.popitem(last=False)
                self._static[shapes] = self._compile_for(shapes)
            else:
                if self._dynamic is None:
                    self._dynamic = self._compile_for(None)
                return self._dynamic
            found = self._static[shapes]
        _PROCESS.mark_used(self, shapes)
        return found

    def drop(self, shapes: Shapes) -> None:
        """Forgets a static shape, whose place another function of the process needs."""
        with self._lock:
            self._static.pop(shapes, None)

    def _record_run(self, shapes: Shapes) -> deque[int]:
        """The numbers of the last runs with these shapes, this one included."""
        last_runs = self._last_runs.pop(shapes, None) or deque(maxlen=RUNS_BEFORE_EVICTION)
        last_runs.append(self._runs)
        self._runs += 1
        self._last_runs[shapes] = last_runs
        if len(self._last_runs) > _REMEMBERED_SHAPES:
            self._last_runs.popitem(last=False)
        return last_runs

    def _deserves_static(self, last_runs: deque[int]) -> bool:
        if len(self._static) < STATIC_SHAPES:
            return last_runs[0] == 0 or len(last_runs) > 1
        victim = self._last_runs.get(next(iter(self._static)))
        last_run_of_victim = -1 if victim is None else victim[-1]
        return len(last_runs) == RUNS_BEFORE_EVICTION and last_runs[0] > last_run_of_victim


class _Process:
    """The static shapes of all caches of this process, the least recently used first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: OrderedDict[tuple[int, Shapes], weakref.ref[ShapeCache[Any]]] = OrderedDict()

    def mark_used(self, cache: ShapeCache[Any], shapes: Shapes) -> None:
        """Notes a use; the least recently used shape of any cache goes where there are too many."""
        victims = []
        with self._lock:
            key = (id(cache), shapes)
            self._used[key] = weakref.ref(cache)
            self._used.move_to_end(key)
            while len(self._used) > STATIC_SHAPES_OF_PROCESS:
                victims.append(self._used.popitem(last=False))
        # outside the lock: the caches have locks of their own
        for (_, dropped), reference in victims:
            if (owner := reference()) is not None:
                owner.drop(dropped)


_PROCESS = _Process()
