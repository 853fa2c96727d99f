"""How well a promptable model finds outlined objects by their boxes, by the steps that predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from densevit import masks
from densevit.core.manifest import Manifest
from densevit.data.base import DataError, PromptableData, PromptableSample
from densevit.metrics.masks import MaskScore
from densevit.predict.segment_anything import SegmentAnything
from densevit.runtimes.eager import EagerRuntime
from densevit.tasks.promptable import make_promptable_task


@dataclass(frozen=True)
class BoxScores:
    """Intersection over union of objects with the best of three masks for each one's annotated box.

    Boxes that have no area within the image are left out.

    Attributes:
        data: images with outlined objects.
        manifest: of the model.
        device: where it runs.
        images: the first so many are looked at, 0 for all.
    """

    data: PromptableData
    manifest: Manifest
    device: str
    images: int = 0

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """-> "iou" in percent, and what there is of "iou_small", "iou_medium" and "iou_large".

        Raises:
            DataError: there is no object, or what the data say.
        """
        runtime = EagerRuntime(network, self.manifest, device=self.device)
        model = SegmentAnything(make_promptable_task(self.manifest), runtime, self.manifest)
        score = MaskScore()
        for index in range(min(len(self.data), self.images or len(self.data))):
            _count(model, self.data[index], score)
        found = {name: float(value) for name, value in score.compute().items() if value is not None}
        if not found:
            raise DataError("no image to validate on has an object with a box")
        return found


def _count(model: SegmentAnything, sample: PromptableSample, score: MaskScore) -> None:
    height, width = sample.image.shape[:2]
    within = sample.boxes.clip(0, np.array([width, height] * 2, np.float32))
    (usable,) = np.nonzero((within[:, 2:] > within[:, :2]).all(axis=1))
    if not usable.size:
        return
    answer = model.predict(sample.image, boxes=within[usable], multimask=True).best()
    overlaps = [
        masks.iou(found.rle, sample.masks[number]) for found, number in zip(answer, usable.tolist(), strict=True)
    ]
    score.update(np.array(overlaps), sample.areas[usable])
