"""What the benchmarks time with."""

import time
from collections.abc import Callable


def milliseconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3
