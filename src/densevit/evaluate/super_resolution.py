"""PSNR and SSIM on Y."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from densevit.core.processes import Processes
from densevit.data.base import HighResolutionData
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, prefetch
from densevit.imaging import Photo
from densevit.metrics import SuperResolutionScore
from densevit.runtimes.base import Runtime
from densevit.tasks.base import Arrays
from densevit.tasks.super_resolution import SuperResolution, crop_to_multiple, downscale


def evaluate_super_resolution(
    task: SuperResolution,
    runtime: Runtime,
    data: HighResolutionData,
    *,
    progress: Progress = lambda done, total: None,
    processes: Processes = SINGLE_PROCESS,
) -> Evaluation:
    """PSNR in dB and SSIM in 0..1 on Y, as many pixels of the border left out as the scale is.

    The low resolution is what MATLAB's antialiased bicubic makes of the images, cropped to a multiple of the
    scale first.

    Args:
        task: of the model.
        runtime: of the model.
        data: high-resolution images.
        progress: called with (images done, images in all) of this process.
        processes: the processes that share the data.

    Raises:
        ValueError: an image too small to be scored, or there is none.
        ProcessLostError: another process ended.
    """
    score = SuperResolutionScore(border_px=task.scale)
    start = time.perf_counter()

    def prepared(index: int) -> tuple[NDArray[np.uint8], Photo]:
        high = crop_to_multiple(data[index].image, task.scale)
        return high, Photo(downscale(high, task.scale))

    def run(tensors: Arrays) -> Arrays:
        return runtime.run("forward", tensors)

    share = range(processes.rank, len(data), processes.size)
    for done, (high, low) in enumerate(prefetch(prepared, share), start=1):
        score.update(task.answer(low, run).image.astype(np.uint8, copy=False), high)
        progress(done, len(share))
    score.sums = processes.sum(score.state())
    if not len(data):
        raise ValueError("this data holds no image; is it the right folder and split?")
    return Evaluation(score.compute(), len(data), time.perf_counter() - start)
