"""A core of the product under `python -O`, which drops asserts: what they did besides checking would be missed.

Exporting several functions without asserts is tested in tests/export/test_merging.py.
"""

import subprocess
import sys
import textwrap

import numpy as np

from helpers import tiny


def run_optimized(code: str, tmp_path) -> str:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    environment = tiny.environment(DENSEVIT_CACHE=str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, "-O", str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_segmentation_answers_the_same(tmp_path):
    import densevit

    image = tiny.image(70, 90)
    np.save(tmp_path / "image.npy", image)
    run_optimized(
        """
        import numpy as np
        import densevit

        assert False, "asserts are dropped"
        model = densevit.load("seg-b0-camvid", precision="fp32", threads=1)
        np.save("labels.npy", model.predict(np.load("image.npy")).labels)
        """,
        tmp_path,
    )
    expected = densevit.load("seg-b0-camvid", precision="fp32", threads=1).predict(image).labels
    assert np.array_equal(np.load(tmp_path / "labels.npy"), expected)
