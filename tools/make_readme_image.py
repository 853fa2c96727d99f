"""Makes the image of the README: the example under the colors of its classes, with a legend.

    python tools/make_readme_image.py

Run it again after the bundled model or the palette has changed. It needs no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter, run

import densevit
from densevit import imaging
from densevit.imaging import draw

ROOT = Path(__file__).resolve().parent.parent


def main(
    image: Annotated[Path, Parameter(help="The image to segment.")] = ROOT / "examples" / "leuven_street.jpg",
    out: Annotated[Path, Parameter(help="The image to write.")] = ROOT / "docs" / "street.jpg",
    precision: Annotated[str, Parameter(help="fp32 gives the same image on every CPU.")] = "fp32",
) -> None:
    """Segment, draw, write."""
    result = densevit.load("seg-b0-camvid", precision=precision).predict(image)
    # the largest class first, as the verb reports them; classes that do not occur are left out
    names = list(result.fractions())
    palette = np.stack([result.palette[result.class_names.index(name)] for name in names])
    legend = draw.draw_legend(names, palette, row_px=30)
    overlay = np.asarray(result.overlay())
    page = np.full((max(len(overlay), len(legend)), overlay.shape[1] + 12 + legend.shape[1], 3), 255, np.uint8)
    page[: len(overlay), : overlay.shape[1]] = overlay
    page[: len(legend), -legend.shape[1] :] = legend
    imaging.save(page, out)


if __name__ == "__main__":
    run(main)
