"""Tasks whose network is called once per image: preprocess, run, postprocess."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.core.errors import InputError, UsageError
from densevit.imaging import ImageSource, Placement, SizePolicy
from densevit.tasks.base import SMALLER_SIZE, Arrays, BatchError, Run, Signature

Image = TypeVar("Image")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Prepared(Generic[Image]):
    """An image on its way to the network.

    Attributes:
        image: as it was read.
        tensors: inputs of the network, a batch of one.
        placement: where the image is in them.
    """

    image: Image
    tensors: dict[str, NDArray[Any]]
    placement: Placement


class OneCallTask(ABC, Generic[Image, Result]):
    """Pre- and postprocessing of a network that is called once per image; its first function takes the image."""

    size: SizePolicy
    memory_advice: str = SMALLER_SIZE

    @property
    @abstractmethod
    def signatures(self) -> Mapping[str, Signature]:
        """The functions of the network by name, the one that takes the image first."""

    @abstractmethod
    def preprocess(self, image: Image) -> tuple[dict[str, NDArray[Any]], Placement]:
        """An image -> inputs of the first function, and where the image is in them."""

    @abstractmethod
    def postprocess(self, raw: Arrays, placement: Placement, image: Image | None = None) -> Result:
        """Outputs of the first function -> the result at the image's own size, which may keep the image."""

    def load_image(self, source: ImageSource, *, max_pixels: int) -> Image:
        """Reads an image: (H, W, 3) uint8 RGB, unless a task needs more of it."""
        image: Any = imaging.read(source, max_pixels=max_pixels)
        return image  # type: ignore[no-any-return]

    def prepare(self, image: Image) -> Prepared[Image]:
        """Preprocesses an image that has been read."""
        return Prepared(image, *self.preprocess(image))

    def read(self, source: ImageSource, *, max_pixels: int) -> Prepared[Image]:
        """Reads and preprocesses an image."""
        return self.prepare(self.load_image(source, max_pixels=max_pixels))

    def infer(self, image: Prepared[Image], run: Run) -> Arrays:
        """The outputs of the first function for an image."""
        return run(self._function, image.tensors)

    def answer(self, image: Prepared[Image], run: Run) -> Result:
        """Runs the first function and postprocesses its outputs."""
        return self.postprocess(self.infer(image, run), image.placement, image.image)

    def answer_batch(self, images: Sequence[Prepared[Image]], run: Run) -> list[Result]:
        """The same for several images in one call, which must fit into memory.

        Raises:
            UsageError: working sizes that differ.
            BatchError: the network's output for an image is not finite.
        """
        if not images:
            return []
        shapes = {name: {image.tensors[name].shape for image in images} for name in images[0].tensors}
        if wrong := [seen for seen in shapes.values() if len(seen) > 1]:
            raise UsageError(f"images of one batch must have one working size, got {sorted(wrong[0])}; use stream")
        raw = run(self._function, {name: np.concatenate([i.tensors[name] for i in images]) for name in shapes})
        results = []
        for index, image in enumerate(images):
            part = {name: array[index : index + 1] for name, array in raw.items()}
            try:
                results.append(self.postprocess(part, image.placement, image.image))
            except InputError as error:
                raise BatchError(index, error) from error
        return results

    @property
    def _function(self) -> str:
        return next(iter(self.signatures))
