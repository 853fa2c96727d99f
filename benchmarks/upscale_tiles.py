"""Tiles against the whole image: how near they come to each other, and which comes nearer to the truth.

    python benchmarks/upscale_tiles.py --images ../shared/data/photos/*cc*.jpg

For each photograph: enlarged whole and in tiles of 256 from an input of 1500x2100, PSNR between the two, and the
error within 8 pixels of a seam beside the error elsewhere. Then PSNR-Y against the original for inputs of 1, 4
and 16 megapixels (a photograph that is too small is continued by its mirror images), whole and by tile size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from densevit import imaging
from densevit.imaging import Photo, Size
from densevit.imaging.tiling import cut_tiles
from densevit.metrics import luma, psnr
from densevit.predict.kinds import Upscaler
from densevit.predict.loading import load
from densevit.tasks.super_resolution import crop_to_multiple, downscale
from densevit.tasks.table import make_task

WHOLE = "whole"


def enlarged(model: Upscaler, image: np.ndarray, tile: int | str) -> np.ndarray:
    """(H, W, 3) uint8 -> (2 H, 2 W, 3)."""
    task = make_task(model.manifest, tile=tile)
    return Upscaler(task, model.runtime, model.manifest).predict(image).image


def of_size(image: np.ndarray, size: Size) -> np.ndarray:
    """A cut of that size, after mirroring as often as needed; much larger photographs are downscaled first."""
    factor = min(image.shape[0] / size.height, image.shape[1] / size.width)
    if factor > 1:
        image = imaging.resize(image, Size(*(round(s / factor) for s in image.shape[:2])), "matlab_bicubic")
    rows, columns = (max(0, wanted - side) for wanted, side in zip(size, image.shape[:2], strict=True))
    while rows or columns:
        step = (min(rows, image.shape[0]), min(columns, image.shape[1]))
        image = np.pad(image, ((0, step[0]), (0, step[1]), (0, 0)), mode="symmetric")
        rows, columns = rows - step[0], columns - step[1]
    return np.ascontiguousarray(image[: size.height, : size.width])


def seams(model: Upscaler, size: Size, tile_px: int, within: int) -> np.ndarray:
    """(2 H, 2 W) bool: pixels at most so far from where two tiles meet."""
    near = np.zeros((size.height * 2, size.width * 2), bool)
    task = model.task.task
    for tile in cut_tiles(size, tile_px, halo_px=task.halo_px, multiple=task.multiple):
        rows, columns = tile.outer(2)
        if rows.start:
            near[max(0, rows.start - within) : rows.start + within] = True
        if columns.start:
            near[:, max(0, columns.start - within) : columns.start + within] = True
    return near


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="sr-x2")
    parser.add_argument("--images", type=Path, nargs="+", required=True)
    parser.add_argument("--megapixels", type=float, nargs="*", default=[1, 4, 16])
    parser.add_argument("--seams-size", type=int, nargs=2, default=(1500, 2100), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--tiles", type=int, nargs="*", default=[128, 256, 512, 1024])
    parser.add_argument("--precision", default="fp32", help="bf16 halves what a whole image takes")
    options = parser.parse_args()
    model = load(options.model, precision=options.precision)
    for path in options.images:
        original = imaging.read(path)
        size = Size(*options.seams_size)
        image = of_size(original, size)
        whole = enlarged(model, image, WHOLE).astype(np.float64)
        error = np.square(enlarged(model, image, 256) - whole)
        near = seams(model, size, 256, 8)
        total = 10 * np.log10(255**2 / max(error.mean(), 1e-9))
        rms = [float(np.sqrt(error[mask].mean())) if mask.any() else 0.0 for mask in (near, ~near)]
        print(f"{path.name}, {size}, tiles of 256: {total:.1f} dB between tiled and whole; ", end="")
        print(
            f"root mean square {rms[0]:.3f} at seams, {rms[1]:.3f} elsewhere; largest {np.sqrt(error.max()):.0f}"
        )
    print(f"\nPSNR-Y in dB\n{'':>44}{'bicubic':>9}{'whole':>9}", *(f"{tile:>9}" for tile in options.tiles), sep="")
    for path in options.images:
        original = imaging.read(path)
        for megapixels in options.megapixels:
            height = round((megapixels * 1e6 * original.shape[0] / original.shape[1]) ** 0.5)
            width = round(megapixels * 1e6 / height)
            high = crop_to_multiple(of_size(original, Size(2 * height, 2 * width)), 2)
            low = downscale(high, 2)
            truth = luma(high)[2:-2, 2:-2]
            bicubic = np.rint(imaging.enlarge(low, 2)).clip(0, 255).astype(np.uint8)
            row = [bicubic, *(enlarged(model, low, tile) for tile in (WHOLE, *options.tiles))]
            scores = "".join(f"{psnr(luma(Photo(p).to_8_bits())[2:-2, 2:-2], truth):>9.3f}" for p in row)
            print(f"{path.name[:30]:>32} {megapixels:>5g} MP     {scores}", flush=True)


if __name__ == "__main__":
    main()
