"""Promptable masks (Segment Anything): an image is embedded once, prompts are answered from the embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit import imaging
from densevit.core.errors import UsageError
from densevit.core.manifest import Manifest
from densevit.imaging import Placement, Size, SizePolicy
from densevit.tasks.base import Arrays, Example, Signature, TensorSpec, check_finite
from densevit.tasks.mask_upsampling import MaskUpsampling
from densevit.tasks.one_call import OneCallTask
from densevit.variants.segment_anything import EMBEDDING_SHAPE, FRAME_PX, MASK_SIDE, MASKS_PER_PROMPT


@dataclass(frozen=True)
class Scene:
    """An image that has been embedded.

    Attributes:
        embedding: (256, 64, 64) float32, of the network's whole square input.
        placement: where the image is in that input.
        image: (H, W, 3) uint8 RGB, or None if it was not kept.
    """

    embedding: NDArray[np.float32]
    placement: Placement
    image: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.embedding.shape != EMBEDDING_SHAPE:
            raise ValueError(f"embedding is {self.embedding.shape}, must be {EMBEDDING_SHAPE}")


class Promptable(OneCallTask[NDArray[np.uint8], Scene]):
    """Pre- and postprocessing of a promptable model; an image becomes a scene, which answers prompts.

    The encoder takes a square of `side_px` whatever the working size is; the rest of the square is zero.

    Args:
        mean: of the channels in 0..1.
        std: of the channels.
        size: the longer side; at most `side_px`.
        side_px: height and width of the encoder's input.
        resize: how images are resized to the working size.
    """

    class_names: tuple[str, ...] = ()
    # the encoder's input is always the same square, so that another working size saves nothing
    memory_advice = "use a smaller image, or a smaller model (sam-l0)"

    def __init__(
        self,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        size: SizePolicy,
        side_px: int,
        resize: imaging.ResizeKind = "pil_bilinear",
    ) -> None:
        if size.kind != "long" or size.sides_px[0] > side_px or size.multiple != 1:
            raise UsageError(f"size: got {size}; allowed for promptable models: long:S, S at most {side_px}")
        self.size = size
        self.side_px = side_px
        self.resize = resize
        self._mean, self._std = (np.array(values, np.float32) * np.float32(255) for values in (mean, std))

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """Four functions.

        "encode_image": normalized square images -> embeddings. "decode_masks": one embedding and prompts (see
        `densevit.tasks.prompts`) -> four masks per prompt, the first for a clear prompt and three for an
        ambiguous one, and their predicted quality. "refine_masks": the same with a mask prompt each.
        "propose_masks": the same as "decode_masks", but only the masks of the first prompt and of those with one
        of their three masks above `least_score`.
        """
        shape = ("batch", len(self._mean), self.side_px, self.side_px)
        image = TensorSpec("image", "float32", shape, Example("image"))
        embedding = TensorSpec("embedding", "float32", ("batch", *EMBEDDING_SHAPE))
        prompts = (
            TensorSpec("embedding", "float32", (1, *EMBEDDING_SHAPE)),
            TensorSpec("points", "float32", ("prompts", "points", 2), Example("uniform", 0, FRAME_PX)),
            TensorSpec("labels", "float32", ("prompts", "points"), Example("whole", -1, 4)),
        )
        mask_prompts = TensorSpec("mask_prompts", "float32", ("prompts", 1, MASK_SIDE, MASK_SIDE))
        answers = (
            TensorSpec("masks", "float32", ("prompts", MASKS_PER_PROMPT, MASK_SIDE, MASK_SIDE)),
            TensorSpec("scores", "float32", ("prompts", MASKS_PER_PROMPT)),
        )
        # about half of the scores of a model with random weights are below
        least_score = TensorSpec("least_score", "float32", (1,), Example("constant", 0.0))
        kept = ("kept", *answers[0].shape[1:])
        return {
            "encode_image": Signature((image,), (embedding,)),
            "decode_masks": Signature(prompts, answers),
            "refine_masks": Signature((*prompts, mask_prompts), answers),
            "propose_masks": Signature((*prompts, least_score), (replace(answers[0], shape=kept), answers[1])),
        }

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[dict[str, NDArray[Any]], Placement]:
        """(H, W, 3) uint8 RGB -> {"image": (1, 3, S, S) float32}, padded right and bottom after normalization.

        Raises:
            ImageError: the working size would be too large.
        """
        fitted, placement = imaging.resize_and_pad(image, self.size, multiple=self.side_px, kind=self.resize)
        height, width = placement.content
        tensor = np.zeros((1, len(self._mean), *placement.tensor), np.float32)
        normalized = (fitted[:height, :width].astype(np.float32) - self._mean) / self._std
        tensor[0, :, :height, :width] = normalized.transpose(2, 0, 1)
        return {"image": tensor}, placement

    def postprocess(self, raw: Arrays, placement: Placement, image: NDArray[np.uint8] | None = None) -> Scene:
        """{"embedding": (1, 256, 64, 64)} -> the scene.

        Raises:
            InputError: an embedding that is not finite.
            ValueError: an embedding of another shape.
        """
        (spec,) = self.signatures["encode_image"].outputs
        spec.check(raw[spec.name])
        (embedding,) = raw[spec.name]
        check_finite(embedding)
        return Scene(embedding, placement, image)

    def content_in_frame(self, placement: Placement) -> Size:
        """Size of an image in the frame of 1024 pixels that prompts and masks refer to.

        It follows from the image, not from the encoder's input: rounding would differ by a pixel.
        """
        (side,) = self.size.sides_px
        policy = SizePolicy("long", (max(1, side * FRAME_PX // self.side_px),))
        return policy.working_size(placement.image)

    def upsampling(self, placement: Placement) -> MaskUpsampling:
        """Enlarges the decoder's masks to the image."""
        return MaskUpsampling(self.content_in_frame(placement), placement.image)


def make_promptable_task(manifest: Manifest, size: str | None = None) -> Promptable:
    """The task of a model that describes itself.

    Args:
        manifest: of the model; its `multiple` is the side of the encoder's input.
        size: overrides the manifest's size policy; "published" is the paper's evaluation.

    Raises:
        UsageError: not a size policy, or one that promptable models do not take.
    """
    policy = SizePolicy.parse(manifest.published_size if size == "published" else size or manifest.size)
    return Promptable(manifest.mean, manifest.std, size=policy, side_px=manifest.multiple, resize=manifest.resize)
