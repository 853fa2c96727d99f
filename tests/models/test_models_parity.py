"""The built networks against the float64 network of `reference.py`."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from densevit.checkpoints.names import detect_convention, to_own_names
from densevit.checkpoints.state import load_state, read_pickled
from densevit.models.build import DenseModel, build
from densevit.variants import SEGMENTATION, SegmentationTable
from helpers import reference


def narrow(name: str) -> tuple[SegmentationTable, reference.Row]:
    """The L variants with fewer channels: every block and depth stays."""
    widths = (8, 16, 24, 32, 96)
    table, row = SEGMENTATION[name], reference.ROWS[name]
    stages = tuple(
        dataclasses.replace(stage, width=width) for stage, width in zip(table.backbone.stages, widths, strict=True)
    )
    table = dataclasses.replace(
        table,
        backbone=dataclasses.replace(table.backbone, stages=stages),
        head=dataclasses.replace(table.head, width=16),
    )
    return table, dataclasses.replace(row, widths=widths, head_width=16)


CASES = {
    "seg-b0": (SEGMENTATION["seg-b0"], reference.ROWS["seg-b0"], (96, 64)),
    "seg-b1-ade20k": (SEGMENTATION["seg-b1-ade20k"], reference.ROWS["seg-b1-ade20k"], (96, 64)),
    "seg-l1 narrowed": (*narrow("seg-l1"), (192, 224)),
    "seg-l1 narrowed, few tokens": (*narrow("seg-l1"), (64, 96)),
    "seg-l2-ade20k narrowed": (*narrow("seg-l2-ade20k"), (64, 64)),
}


def loaded(table: SegmentationTable, state: dict[str, torch.Tensor]) -> DenseModel:
    model = build(table)
    assert detect_convention(state) == "official"
    load_state(model, to_own_names(state, model.state_dict(), table), source="random")
    return model.eval()


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got.double() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference(case):
    table, row, size = CASES[case]
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x.float().double()
    state, expected = reference.invent(row, x)
    model = loaded(table, state)
    with torch.inference_mode():
        single = model(x.float())
        assert single.dtype == torch.float32
        assert single.shape == (2, row.classes, size[0] // 8, size[1] // 8)
        assert relative(single, expected) < 1e-4
        assert relative(model.double()(x), expected) < 1e-9


@pytest.mark.parametrize("name", reference.ROWS)
@pytest.mark.needs_shared
def test_the_reference_itself_has_the_official_keys(name, official_shapes):
    assert reference.shapes(reference.ROWS[name]) == official_shapes[name]


def test_every_table_has_a_reference():
    assert set(reference.ROWS) == set(SEGMENTATION)


@pytest.mark.needs_shared
def test_official_weights_on_a_real_image(shared):
    path = shared / "weights" / "efficientvit_seg_b0_cityscapes.pt"
    frame = np.asarray(Image.open(shared / "data" / "photos" / "cityscapes_frame.png").convert("RGB"))
    crop = frame[384:640, 640:1152]
    x = (crop / 255 - reference.MEAN) / reference.STD
    x = torch.from_numpy(x).permute(2, 0, 1)[None]
    state = read_pickled(path)
    weights = reference.Given(state)
    expected = reference.Network(reference.ROWS["seg-b0"], weights)(x)
    assert weights.used == state.keys()
    with torch.inference_mode():
        got = loaded(SEGMENTATION["seg-b0"], state)(x.float())
    assert float((got - expected).abs().max()) <= 5e-4
    same = (got.argmax(1) == expected.argmax(1)).double().mean()
    assert float(same) >= 0.9999
    # a street scene, not one class everywhere
    assert len(expected.argmax(1).unique()) >= 5
