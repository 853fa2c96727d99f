"""Peak memory of enlarging images of 1, 4, 16 and 64 megapixels, each in a process of its own.

    python benchmarks/upscale_memory.py

What a process needs before it enlarges anything is taken off, and so are input and output; the rest should not
depend on the image.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

SIDES = {0: (100, 100), 1: (1000, 1000), 4: (2000, 2000), 16: (4000, 4000), 64: (8000, 8000)}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def child(model_name: str, megapixels: int, precision: str) -> None:
    """Enlarges one image and prints bytes before, at the peak, of input and output, and seconds."""
    from densevit.predict.loading import load

    model = load(model_name, precision=precision)
    # the tile's graph is compiled and run once
    tile_px = model.task.tile_px
    model.predict(np.zeros((tile_px, tile_px, 3), np.uint8))
    before = _peak_bytes()
    height, width = SIDES[megapixels]
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    start = time.perf_counter()
    result = model.predict(image)
    seconds = time.perf_counter() - start
    print(before, _peak_bytes(), image.nbytes + result.image.nbytes, seconds)


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="sr-x2")
    parser.add_argument("--precision", default="auto")
    parser.add_argument(
        "--megapixels", type=int, nargs="*", default=[megapixels for megapixels in SIDES if megapixels]
    )
    parser.add_argument("--child", type=int)
    options = parser.parse_args()
    if options.child is not None:
        child(options.model, options.child, options.precision)
        return
    print(f"{'megapixels':>10}{'peak MB':>10}{'input + output MB':>20}{'tiles beyond them MB':>23}{'seconds':>10}")
    for megapixels in options.megapixels:
        command = [sys.executable, __file__, "--child", str(megapixels), "--model", options.model]
        command += ["--precision", options.precision]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        before, peak, data, seconds = (float(value) for value in out.split())
        rest = (peak - before - data) / 1e6
        print(f"{megapixels:>10}{peak / 1e6:>10.0f}{data / 1e6:>20.0f}{rest:>23.0f}{seconds:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
