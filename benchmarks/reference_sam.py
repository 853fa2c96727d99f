"""Segment Anything's own code with MobileSAM's parameters, to compare with: the package segment-anything-py.

It imports torchvision, whose compiled half is not there beside the CPU build of torch; the tests' shim stands in.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from densevit.checkpoints.opening import open_network
from densevit.masks import non_maximum_suppression
from densevit.models.build import PromptableModel

# kept: what it declares lasts as long as its names
_SHIM_NAMES = runpy.run_path(
    str(Path(__file__).resolve().parent.parent / "tests" / "helpers" / "torchvision_shim.py")
)


class Encoder(nn.Module):
    """Our image encoder with what the reference asks of its own."""

    img_size = 1024

    def __init__(self, network: PromptableModel) -> None:
        super().__init__()
        self.encoder = network.image_encoder

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 1024, 1024) -> (B, 256, 64, 64)."""
        out: Tensor = self.encoder(x)
        return out


def reference(weights: Path) -> Any:
    """Segment Anything with the file's parameters, a `Sam`."""
    _SHIM_NAMES["make_torchvision_importable"]()
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    network, _ = open_network(weights, None)
    assert isinstance(network, PromptableModel)
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    prompts = PromptEncoder(256, (64, 64), (1024, 1024), 16)
    decoder = MaskDecoder(transformer_dim=256, transformer=transformer)
    prompts.load_state_dict(network.prompt_encoder.state_dict())
    decoder.load_state_dict(network.mask_decoder.state_dict())
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    return Sam(Encoder(network), prompts, decoder, mean, std).eval().requires_grad_(False)


def predictor_of(sam: Any) -> Any:
    """Its predictor."""
    from segment_anything import SamPredictor

    return SamPredictor(sam)


def generator(predictor: Any, image: np.ndarray, points_per_side: int) -> Any:
    """Its mask generator; it takes the embedding as it is, because the encoder is not what is measured."""
    from segment_anything import SamAutomaticMaskGenerator, automatic_mask_generator

    def suppressed(boxes: Tensor, scores: Tensor, _: Tensor, iou_threshold: float) -> Tensor:
        return torch.from_numpy(non_maximum_suppression(boxes.numpy(), scores.numpy(), iou_threshold))

    # in place of torchvision's compiled operator; a millisecond of the whole
    automatic_mask_generator.batched_nms = suppressed
    made = SamAutomaticMaskGenerator(predictor.model, points_per_side, output_mode="uncompressed_rle")
    predictor.set_image(image)
    made.predictor = predictor
    predictor.set_image = lambda *_, **__: None
    predictor.reset_image = lambda: None
    return made
