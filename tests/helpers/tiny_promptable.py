"""A promptable model small enough for tests, under the name of a published one."""

from dataclasses import replace

import pytest
import torch

from densevit.checkpoints.state import save_own
from densevit.models.build import build
from densevit.variants import ARCHITECTURES, BACKBONES, PROMPTABLE, EfficientViTEncoderTable
from densevit.zoo import find_model

NAME = "sam-l0"


def install(patch: pytest.MonkeyPatch) -> None:
    """Replaces the architecture by one with a sixtieth of its operations."""
    table = PROMPTABLE[NAME]
    encoder = table.encoder
    assert isinstance(encoder, EfficientViTEncoderTable)
    backbone = replace(BACKBONES["b0"], norm_eps=1e-6)
    small = replace(table, encoder=replace(encoder, backbone=backbone, neck=replace(encoder.neck, depth=0)))
    patch.setitem(PROMPTABLE, NAME, small)
    patch.setitem(ARCHITECTURES, NAME, small)


def write(path, *, seed=0):
    """Writes a model with random weights in densevit's .safetensors format and loads it again."""
    from densevit.checkpoints.loading import load_network

    torch.manual_seed(seed)
    save_own(build(PROMPTABLE[NAME]), path, find_model(NAME).manifest())
    return load_network(path, None)[0]
