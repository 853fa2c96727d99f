"""The image encoders of EfficientViT-SAM against a float64 network written from the facts."""

import pytest
import torch

from densevit.checkpoints.names import to_own_names
from densevit.checkpoints.state import load_state
from densevit.models.build import PromptableModel, build
from densevit.variants import PROMPTABLE
from helpers.reference import Invented, Listed
from helpers.reference_sam import ROWS, Encoder


def test_every_table_has_a_reference():
    # that of MobileSAM is in test_tiny_vit
    assert ROWS.keys() | {"mobile-sam"} == PROMPTABLE.keys()


@pytest.mark.parametrize("name", [name for name in ROWS if name != "sam-b1"])
@pytest.mark.needs_shared
def test_the_reference_itself_has_the_official_keys(name, official_shapes):
    listed = Listed()
    Encoder(ROWS[name], listed)(torch.empty(1, 3, 128, 128, dtype=torch.float64, device="meta"))
    expected = {k: v for k, v in official_shapes[name].items() if k.startswith("image_encoder.")}
    assert listed.shapes == expected


# a quarter of the published side: every layer is there, and the wide ones still see several tokens
@pytest.mark.parametrize(
    ("name", "side"), [("sam-l0", 128), pytest.param("sam-xl0", 256, marks=pytest.mark.slow), ("sam-b1", 128)]
)
def test_equals_the_reference(name, side):
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = Invented(0)
    expected = Encoder(ROWS[name], weights)(x.float().double())
    model = build(PROMPTABLE[name])
    assert isinstance(model, PromptableModel)
    names = [key for key in model.state_dict() if key.startswith("image_encoder.")]
    state = to_own_names(weights.tensors, names, PROMPTABLE[name])
    others = {k: v for k, v in model.state_dict().items() if not k.startswith("image_encoder.")}
    load_state(model, {**state, **others}, source="random")
    encoder = model.eval().functions()["encode_image"]
    with torch.inference_mode():
        got = encoder(x.float())
        assert got.shape == (1, 256, side // (8 if side == 128 else 16), side // (8 if side == 128 else 16))
        assert float((got.double() - expected).abs().max()) < 1e-4 * float(expected.abs().max())
        # here another epsilon would show
        assert float((encoder.double()(x.float().double()) - expected).abs().max()) < 1e-8
