"""PSNR and SSIM on Y."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError
from densevit.core.processes import Processes
from densevit.data.base import HighResolutionData
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, count_images, prefetch
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
    """PSNR in dB and SSIM in 0..1 on Y, without a border of as many pixels as the scale.

    The images are cropped to a multiple of the scale and downscaled by MATLAB's antialiased bicubic.

    Args:
        task: of the model.
        runtime: of the model.
        data: high-resolution images.
        progress: called with (samples done, number of samples) of this process.
        processes: the processes that share the data.

    Raises:
        InputError: an image is too small for the scores, or there is no image.
        ProcessLostError: another process ended.
    """
    score = SuperResolutionScore(border_px=task.scale)
    start = time.perf_counter()

    def prepare(index: int) -> tuple[NDArray[np.uint8], Photo]:
        high = crop_to_multiple(data[index].image, task.scale)
        return high, Photo(downscale(high, task.scale))

    def run(tensors: Arrays) -> Arrays:
        return runtime.run("forward", tensors)

    share = range(processes.rank, len(data), processes.size)
    for done, (high, low) in enumerate(prefetch(prepare, share), start=1):
        score.update(task.answer(low, run).image.astype(np.uint8, copy=False), high)
        progress(done, len(share))
    score.sums = processes.sum(score.state())
    if not len(data):
        raise InputError("this data has no images; check the folder and the split")
    return Evaluation(score.compute(), count_images(data), time.perf_counter() - start)
