"""The models of each task, with what only they can do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import UsageError
from densevit.imaging import DEFAULT_MAX_PIXELS, ImageSource
from densevit.predict.model import Model, Result, name_image, name_source
from densevit.tasks.classification import ClassificationResult
from densevit.tasks.one_call import OneCallTask
from densevit.tasks.segmentation import SegmentationResult
from densevit.tasks.super_resolution import SuperResolutionResult


class LogitsModel(Model[Result]):
    """A model whose network gives a logit per class."""

    def logits(self, source: ImageSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.float32]:
        """The network's output for the padded working image, before any postprocessing.

        Returns:
            float32, (classes, h, w) for segmentation and (classes,) for classification.

        Raises:
            ImageError: as `predict`.
            UsageError: the model answers in tiles.
        """
        task = self.task
        if not isinstance(task, OneCallTask):
            raise UsageError(f"{self.manifest.name}: the logits of tiles do not make one map; use tile whole")
        with name_image(name_source(source), task.memory_advice):
            raw = task.infer(task.read(source, max_pixels=max_pixels), self.runtime.run)
        logits: NDArray[np.float32] = raw["logits"][0]
        return logits


class Segmenter(LogitsModel[SegmentationResult]):
    """A semantic segmentation model."""


class Classifier(LogitsModel[ClassificationResult]):
    """A classification model."""


class Upscaler(Model[SuperResolutionResult]):
    """A super-resolution model."""
