"""The mask decoder against Segment Anything's, for every kind of prompt."""

import copy
import json

import pytest
import torch
from torch import nn

from densevit.models.channel_norm import ChannelNorm
from densevit.models.mask_decoder import MaskDecoder
from densevit.models.prompts import PromptEncoder
from densevit.models.token_attention import Attention
from helpers.segment_anything_reference import (
    CHECKPOINTS,
    PROMPTS,
    SMALL_GRID,
    segment_anything_modules,
    set_norm_eps,
)

EPSILONS = {"EfficientViT-SAM": 1e-6, "MobileSAM": 1e-5}


def loaded(ours: nn.Module, official: nn.Module) -> nn.Module:
    ours.load_state_dict(official.state_dict())
    return ours.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def official():
    """Encoder and decoder; the decoder in double precision, where a wrong epsilon shows and rounding does not."""
    encoder, decoder = segment_anything_modules(SMALL_GRID)
    return encoder, copy.deepcopy(decoder).double()


@pytest.fixture
def encoder(official):
    return loaded(PromptEncoder(grid=SMALL_GRID), official[0])


@pytest.fixture
def decoder(official):
    return loaded(MaskDecoder().double(), official[1])


def embedding(images: int, grid: int = SMALL_GRID) -> torch.Tensor:
    return torch.randn(images, 256, grid, grid, generator=torch.Generator().manual_seed(3))


def doubles(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [tensor.double() for tensor in tensors]


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_parameters_are_named_and_shaped_as_in_the_official_checkpoints(name, shared):
    table = json.loads((shared / "reference" / "state_dict_shapes.json").read_text())[name]
    prefix = "mask_decoder."
    expected = {key.removeprefix(prefix): shape for key, shape in table.items() if key.startswith(prefix)}
    with torch.device("meta"):
        state = MaskDecoder().state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == expected


def test_learnable_parameters():
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in MaskDecoder().parameters()) == 4_058_340


@pytest.mark.parametrize("eps", EPSILONS.values(), ids=EPSILONS)
@pytest.mark.parametrize("case", PROMPTS)
def test_equals_segment_anything(case, eps, official, encoder):
    official_encoder, official_decoder = official
    set_norm_eps(official_decoder, eps)
    decoder = loaded(MaskDecoder(norm_eps=eps).double(), official_decoder)
    points, boxes, masks = PROMPTS[case]
    image, positions = doubles(embedding(1), official_encoder.get_dense_pe())

    embedded = doubles(*official_encoder(points=points, boxes=boxes, masks=masks))
    expected = official_decoder.predict_masks(image, positions, *embedded)
    labeled = (None, None) if points is None else points
    sparse, _ = encoder(*labeled, boxes=boxes, masks=masks)
    # our own points and boxes, equal to the bit; the dense one differs by single-precision rounding
    dense = embedded[1] if masks is not None else encoder.embed_no_mask()
    found = decoder(image, positions, *doubles(sparse, dense))
    torch.testing.assert_close(found, tuple(expected), rtol=0, atol=1e-10)


def test_equals_segment_anything_at_the_published_size():
    official_encoder, official_decoder = segment_anything_modules()
    set_norm_eps(official_decoder, 1e-6)
    encoder, decoder = loaded(PromptEncoder(), official_encoder), loaded(MaskDecoder(), official_decoder)
    points, labels = PROMPTS["points"][0]
    image = embedding(1, 64)

    expected = official_decoder.predict_masks(
        image, official_encoder.get_dense_pe(), *official_encoder((points, labels), None, None)
    )
    found = decoder(image, encoder.dense_positions(), *encoder(points, labels))
    assert found[0].shape == (3, 4, 256, 256)
    torch.testing.assert_close(found, tuple(expected), rtol=0, atol=1e-4)


def test_one_image_shared_equals_one_row_per_prompt(encoder, decoder):
    sparse, dense = doubles(*encoder(boxes=PROMPTS["boxes"][1]))
    image, positions = doubles(embedding(1), encoder.dense_positions())
    together = decoder(image, positions, sparse, dense)
    repeated = decoder(image.repeat(3, 1, 1, 1), positions, sparse, dense.repeat(3, 1, 1, 1))
    torch.testing.assert_close(together, repeated, rtol=0, atol=1e-10)


def test_one_prompt_per_image_equals_one_by_one(encoder, decoder):
    images, positions = doubles(embedding(2), encoder.dense_positions())
    sparse, dense = doubles(*encoder(boxes=PROMPTS["boxes"][1][:2]))
    masks, scores = decoder(images, positions, sparse, dense)
    for row in (slice(0, 1), slice(1, 2)):
        alone = decoder(images[row], positions, sparse[row], dense)
        torch.testing.assert_close((masks[row], scores[row]), alone, rtol=0, atol=1e-10)


def test_epsilon_is_that_of_the_transformer_alone():
    with torch.device("meta"):
        modules = list(MaskDecoder(norm_eps=0.25).modules())
    assert {module.eps for module in modules if isinstance(module, nn.LayerNorm)} == {0.25}
    assert {module.norm_eps for module in modules if isinstance(module, ChannelNorm)} == {1e-6}


def test_no_prompt_gives_no_mask():
    decoder = MaskDecoder(16, depth=1, hidden=8, heads=2)
    masks, scores = decoder(*torch.zeros(2, 1, 16, 4, 4), torch.zeros(0, 2, 16), torch.zeros(1, 16, 4, 4))
    assert (masks.shape, scores.shape) == ((0, 4, 16, 16), (0, 4))


def test_refuses_rows_that_do_not_fit():
    decoder = MaskDecoder(16, depth=1, hidden=8, heads=2)
    image, positions, dense = torch.zeros(3, 1, 16, 4, 4)
    with pytest.raises(ValueError, match=r"image must have 1 row or one per prompt \(3\), got 2"):
        decoder(image.repeat(2, 1, 1, 1), positions, torch.zeros(3, 2, 16), dense)


def test_refuses_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="multiple of 3 heads"):
        Attention(16, 16, 3)
