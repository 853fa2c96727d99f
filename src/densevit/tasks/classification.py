"""Classification: one class for the whole image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest
from densevit.imaging import Placement, Size, SizePolicy
from densevit.tasks.base import Arrays, Example, Signature, TensorSpec, check_finite
from densevit.tasks.one_call import OneCallTask
from densevit.tasks.result import Result, write_json


@dataclass(frozen=True)
class Guess:
    """One class with the probability, 0..1, that the network gives it."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class ClassificationResult(Result):
    """The classes of an image, with their probabilities; it is written as json (the best guesses).

    Attributes:
        logits: (classes,) float32.
        class_names: one name per class.
        placement: where the image was in the network's input.
    """

    logits: NDArray[np.float32]
    class_names: tuple[str, ...]
    placement: Placement

    formats: ClassVar[Mapping[str, str]] = {"json": ".classification.json"}
    default_format: ClassVar[str] = "json"

    def __post_init__(self) -> None:
        if self.logits.shape != (len(self.class_names),):
            raise ValueError(f"logits are {self.logits.shape}, there are {len(self.class_names)} class names")
        if not np.isfinite(self.logits).all():
            raise ValueError("logits must be finite")

    def probabilities(self) -> NDArray[np.float32]:
        """(classes,) float32 that sum to one."""
        powers = np.exp(self.logits.astype(np.float64) - self.logits.max())
        shares: NDArray[np.float64] = powers / powers.sum()
        return shares.astype(np.float32)

    def top(self, count: int = 5) -> list[Guess]:
        """The most probable classes, best first; of equal ones the first in the class table comes first.

        Raises:
            UsageError: a count below 1.
        """
        if count < 1:
            raise UsageError(f"count must be at least 1, got {count}")
        probabilities = self.probabilities()
        order = np.argsort(-self.logits, kind="stable")[:count]
        return [Guess(int(i), self.class_names[i], float(probabilities[i])) for i in order]

    def to_json(self, *, count: int = 5) -> dict[str, Any]:
        """The best guesses."""
        height, width = self.placement.image
        top = [
            {"index": guess.index, "name": guess.name, "probability": round(guess.probability, 6)}
            for guess in self.top(count)
        ]
        return {"height": height, "width": width, "top": top}

    def write(self, form: str, target: Path) -> list[Path]:
        """Writes the five best guesses; see `Result.write`."""
        write_json(self.to_json(), target, indent=1)
        return [target]

    def save(self, path: str | Path, *, formats: Iterable[str] | None = None, count: int = 5) -> list[Path]:
        """Writes the best guesses as JSON: "out/cat" gives "out/cat.classification.json". Folders are made.

        Args:
            path: folder and stem.
            formats: as `Result.save`.
            count: number of guesses.

        Raises:
            UsageError: an unknown format, or a count below 1.
        """
        targets = self.find_targets(path, formats)
        for _, target in targets:
            write_json(self.to_json(count=count), target, indent=1)
        return [target for _, target in targets]


class Classification(OneCallTask[NDArray[np.uint8], ClassificationResult]):
    """Pre- and postprocessing of a classification model.

    Args:
        class_names: one per output.
        size: `exact` cuts the center out of the resized image, as published; with any other policy the
            network sees the whole image.
        crop_ratio: share of the resized shorter side that the crop keeps.
        multiple: sides of the network's input are multiples of this.
        resize: how images are resized to the working size.
        channels: of the image.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        size: SizePolicy,
        crop_ratio: float = 1.0,
        multiple: int = 32,
        resize: imaging.ResizeKind = "pil_bicubic",
        channels: int = 3,
    ) -> None:
        self.class_names = tuple(class_names)
        self.size = size
        self.crop_ratio = crop_ratio
        self.multiple = multiple
        self.resize = resize
        self.channels = channels

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """One function: images with values 0..255 -> logits."""
        image = TensorSpec("image", "uint8", ("batch", "height", "width", self.channels), Example("image"))
        logits = TensorSpec("logits", "float32", ("batch", len(self.class_names)))
        return {"forward": Signature((image,), (logits,))}

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[dict[str, NDArray[Any]], Placement]:
        """(H, W, 3) uint8 RGB -> {"image": (1, H', W', 3) uint8}, and where the image is in it.

        Raises:
            ImageError: the working size would be too large.
        """
        if self.size.kind != "exact":
            fitted, placement = imaging.resize_and_pad(image, self.size, multiple=self.multiple, kind=self.resize)
            return {"image": fitted[None]}, placement
        size = Size(*self.size.sides_px)
        cut, placement = imaging.center_crop(image, size, crop_ratio=self.crop_ratio, kind=self.resize)
        return {"image": cut[None]}, placement

    def postprocess(
        self, raw: Arrays, placement: Placement, image: NDArray[np.uint8] | None = None
    ) -> ClassificationResult:
        """{"logits": (1, classes)} -> the result.

        Raises:
            InputError: logits that are not finite.
            ValueError: logits of another shape.
        """
        (spec,) = self.signatures["forward"].outputs
        spec.check(raw[spec.name])
        (logits,) = raw[spec.name]
        check_finite(logits)
        return ClassificationResult(logits, self.class_names, placement)


def make_classification_task(manifest: Manifest, size: str | None = None) -> Classification:
    """The task of a model that describes itself.

    Args:
        manifest: of the model.
        size: overrides the manifest's size policy; "published" is the paper's evaluation.

    Raises:
        UsageError: not a size policy, or an exact size that is not a multiple of the model's.
    """
    policy = SizePolicy.parse(manifest.published_size if size == "published" else size or manifest.size)
    if policy.kind == "exact" and any(side % manifest.multiple for side in policy.sides_px):
        raise UsageError(f"size: got {policy}; allowed for {manifest.name}: multiples of {manifest.multiple}")
    return Classification(
        manifest.class_names,
        size=policy,
        crop_ratio=manifest.crop_ratio,
        multiple=manifest.multiple,
        resize=manifest.resize,
        channels=len(manifest.mean),
    )
