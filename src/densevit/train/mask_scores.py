"""How well a promptable model in training finds outlined objects by their boxes: by `eval`'s own steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from densevit.core.manifest import Manifest
from densevit.data.base import PromptableData, PromptableSample
from densevit.evaluate import evaluate_promptable
from densevit.predict.segment_anything import SegmentAnything
from densevit.runtimes.eager import EagerRuntime
from densevit.tasks.promptable import make_promptable_task


@dataclass(frozen=True)
class BoxScores:
    """Mean IoU of each object with the best of three masks for its annotated box, as `densevit eval` has it.

    Attributes:
        data: images with outlined objects.
        manifest: of the model.
        device: the network runs here.
        images: only the first N images are used; 0 uses all.
    """

    data: PromptableData
    manifest: Manifest
    device: str
    images: int = 0

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """-> "iou" in percent, and those of "iou_small", "iou_medium" and "iou_large" that have objects.

        Raises:
            InputError: the images have no object, or as reading a sample does.
        """
        runtime = EagerRuntime(network, self.manifest, device=self.device)
        model = SegmentAnything(make_promptable_task(self.manifest), runtime, self.manifest)
        data = _FirstSamples(self.data, min(len(self.data), self.images or len(self.data)))
        metrics = evaluate_promptable(model, data).metrics
        return {name: float(value) for name, value in metrics.items() if value is not None}


class _FirstSamples:
    task: Literal["promptable"] = "promptable"

    def __init__(self, data: PromptableData, count: int) -> None:
        self.data = data
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> PromptableSample:
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of {self.count}")
        return self.data[index]
