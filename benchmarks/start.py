"""A whole `densevit segment` from interpreter start to exit, and the share of each part.

Run: ``python benchmarks/start.py [--image examples/leuven_street.jpg]``. The first start is left out: it reads
files that are not in memory yet.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(arguments: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, default=Path("examples/leuven_street.jpg"))
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "python alone": ["-c", "pass"],
            "import numpy": ["-c", "import numpy"],
            "import densevit": ["-c", "import densevit"],
            "densevit --help": ["-m", "densevit", "--help"],
            "densevit segment": ["-m", "densevit", "segment", str(options.image), "--out", folder],
        }
        for name, arguments in parts.items():
            seconds(arguments)
            times = [seconds(arguments) for _ in range(options.repeats)]
            print(f"{name:>18}  median {statistics.median(times):.3f} s  min {min(times):.3f} s")


if __name__ == "__main__":
    main()
