"""PSNR and SSIM on Y."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import InputError
from densevit.core.processes import Processes
from densevit.data.base import HighResolutionData, HighResolutionSample
from densevit.evaluate.base import SINGLE_PROCESS, Evaluation, Progress, evaluate_answers
from densevit.metrics import SuperResolutionScore
from densevit.runtimes.base import Runtime
from densevit.tasks.base import Task
from densevit.tasks.scoring import Scorer
from densevit.tasks.super_resolution import SuperResolutionResult, crop_to_multiple, downscale


def evaluate_super_resolution(
    task: Task[SuperResolutionResult],
    runtime: Runtime,
    data: HighResolutionData,
    *,
    scale: int,
    progress: Progress = lambda done, total: None,
    processes: Processes = SINGLE_PROCESS,
) -> Evaluation:
    """PSNR in dB and SSIM in 0..1 on Y, without a border of as many pixels as the scale.

    The images are cropped to a multiple of the scale and downscaled by MATLAB's antialiased bicubic.

    Args:
        task: of the model.
        runtime: of the model.
        data: high-resolution images.
        scale: of the model.
        progress: called with (samples done, number of samples) of this process.
        processes: the processes that share the data.

    Raises:
        InputError: an image is too small for the scores, or there is no image.
        ProcessLostError: another process ended.
    """
    return evaluate_answers(
        task, runtime, data, make_super_resolution_scorer(scale), progress=progress, processes=processes
    )


def make_super_resolution_scorer(scale: int) -> Scorer:
    """The scores of a model of that scale; see `evaluate_super_resolution`."""
    return _Scorer(scale, SuperResolutionScore(border_px=scale))


class _Scorer:
    def __init__(self, scale: int, score: SuperResolutionScore) -> None:
        self._scale = scale
        self._score = score

    def open_sample(self, sample: HighResolutionSample) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        high = crop_to_multiple(sample.image, self._scale)
        return downscale(high, self._scale), high

    def update(self, result: SuperResolutionResult, truth: NDArray[np.uint8]) -> None:
        self._score.update(result.image.astype(np.uint8, copy=False), truth)

    def state(self) -> NDArray[np.int64]:
        return self._score.state()

    def compute(self, counts: NDArray[np.int64]) -> dict[str, Any]:
        if not counts.any():
            raise InputError("this data has no images; check the folder and the split")
        self._score.sums = counts
        return self._score.compute()
