"""MobileSAM's image encoder against a float64 walk over its file's keys, and its file under our names."""

import copy

import numpy as np
import onnx_ir
import openvino
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from densevit.checkpoints.loading import load_network
from densevit.checkpoints.names import official_name, to_own_names
from densevit.checkpoints.opening import identify_manifest
from densevit.checkpoints.recognition import Recognition, recognize
from densevit.checkpoints.state import WeightsMismatchError, load_state, save_own, shapes_of
from densevit.export.onnx import convert_function
from densevit.export.program import Function, trace_function
from densevit.models.build import Network, build, create_model
from densevit.models.deploy import fold_norms, for_export
from densevit.models.layers import ConvNorm
from densevit.models.tiny_vit import TinyViT, WindowAttention
from densevit.tasks.table import make_task
from densevit.variants import PROMPTABLE, TinyViTStage, TinyViTTable
from densevit.zoo import find_model
from helpers.reference import Invented, Listed
from helpers.reference_tiny_vit import MOBILE_SAM, Encoder, Stage, bias_index

TABLE = PROMPTABLE["mobile-sam"]
# one block of each kind; at 1/4 of 60 x 100 pixels no map is a whole number of windows
SMALL = (Stage(8, 1, 0, 0, 2), Stage(12, 2, 2, 3, 1), Stage(16, 1, 4, 5, 0))


def small_table() -> TinyViTTable:
    stages = (TinyViTStage(s.width, s.depth, s.heads, s.window, max(1, s.stride)) for s in SMALL)
    return TinyViTTable(tuple(stages), embedding=20)


class Wrapped(Network):
    """The encoder alone, under the names that it has in a file."""

    def __init__(self, encoder: TinyViT) -> None:
        super().__init__()
        self.image_encoder = encoder


def loaded(table: TinyViTTable, weights: Invented) -> Wrapped:
    model = Wrapped(TinyViT(table))
    load_state(model, to_own_names(weights.tensors, model.state_dict(), TABLE), source="random")
    return model.eval()


def image(batch: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, height, width, generator=generator, dtype=torch.float64).float()


@pytest.fixture(scope="module")
def small():
    """A small encoder, an image, and what the reference makes of it."""
    x = image(2, 60, 100)
    weights = Invented(0)
    expected = Encoder(SMALL, weights, embedding=20)(x.double())
    return loaded(small_table(), weights), x, expected


def test_equals_the_reference(small):
    model, x, expected = small
    assert expected.shape == (2, 20, 8, 13)
    with torch.inference_mode():
        got = model.image_encoder(x)
        assert got.shape == expected.shape
        assert float((got.double() - expected).abs().max()) < 1e-4 * float(expected.abs().max())
        # here another epsilon would show
        exact = copy.deepcopy(model.image_encoder).double()(x.double())
        assert float((exact - expected).abs().max()) < 1e-9


# an eighth of the published side: every layer is there, the wide windows see padding
def test_the_published_encoder_equals_the_reference():
    x = image(1, 128, 128)
    weights = Invented(0)
    expected = Encoder(MOBILE_SAM, weights)(x.double())
    assert isinstance(TABLE.encoder, TinyViTTable)
    model = loaded(TABLE.encoder, weights)
    with torch.inference_mode():
        assert float((model.double().image_encoder(x.double()) - expected).abs().max()) < 1e-8


@pytest.mark.parametrize("window", [1, 3, 7])
def test_distances_are_numbered_as_they_first_appear(window):
    layer = WindowAttention(4, heads=1, window=window, norm_eps=1e-5)
    assert layer.bias_index.tolist() == bias_index(window)
    assert "bias_index" not in layer.state_dict()


def test_padding_takes_part():
    torch.manual_seed(0)
    layer = WindowAttention(4, heads=2, window=4, norm_eps=1e-5).double()
    nn.init.normal_(layer.norm.bias)
    x = torch.randn(1, 3, 6, 4, dtype=torch.float64)
    filled = torch.zeros(1, 4, 8, 4, dtype=torch.float64)
    filled[:, :3, :6] = x
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), layer(filled)[:, :3, :6])
        alone = layer(filled[:, :, 4:])
        torch.testing.assert_close(layer(x)[:, :, 4:], alone[:, :3, :2])


def test_norms_are_folded():
    model = Wrapped(TinyViT(small_table())).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    folded = fold_norms(model.double())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    x = image(1, 40, 36).double()
    with torch.inference_mode():
        torch.testing.assert_close(folded.image_encoder(x), model.image_encoder(x), rtol=1e-9, atol=1e-9)


def test_it_can_be_trained():
    torch.manual_seed(0)
    model = TinyViT(small_table()).train()
    model(image(2, 40, 40)).square().mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


def test_it_takes_other_channels_and_refuses_none():
    with FakeTensorMode():
        assert create_model("mobile-sam", in_channels=5)(torch.empty(1, 5, 128, 128)).shape == (1, 256, 8, 8)
    with pytest.raises(ValueError, match="in_channels must be at least 1, got 0"):
        create_model("mobile-sam", in_channels=0)


@pytest.mark.parametrize("option", ["multi_scale", "global_attention"])
def test_it_has_nothing_to_switch_off(option):
    with pytest.raises(ValueError, match=f"mobile-sam is not an EfficientViT.*{option}"):
        create_model("mobile-sam", **{option: False})


# --- its file


def file_tensors(device: str = "meta") -> dict[str, torch.Tensor]:
    """What MobileSAM's file holds: the model's tensors, and the classifier of the encoder's pretraining."""
    with torch.device(device):
        state = {official_name(key, TABLE): value for key, value in build(TABLE).state_dict().items()}
        state |= {
            "image_encoder.norm_head.weight": torch.empty(320),
            "image_encoder.norm_head.bias": torch.empty(320),
            "image_encoder.head.weight": torch.empty(1000, 320),
            "image_encoder.head.bias": torch.empty(1000),
        }
    return state


def test_names_and_shapes_are_those_of_the_reference():
    listed = Listed()
    Encoder(MOBILE_SAM, listed)(torch.empty(1, 3, 64, 64, dtype=torch.float64, device="meta"))
    state = file_tensors()
    encoder = {key: list(value.shape) for key, value in state.items() if key.startswith("image_encoder.")}
    unused = {key for key in encoder if key.startswith(("image_encoder.head.", "image_encoder.norm_head."))}
    assert {key: shape for key, shape in encoder.items() if key not in unused} == listed.shapes
    # and nobody else's names are touched
    others = {key for key in build_on_meta() if not key.startswith("image_encoder.")}
    assert others == state.keys() - encoder.keys()
    # the file's count, the counters of batches included
    assert len(state) == 439


def build_on_meta() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return build(TABLE).state_dict()


def test_it_is_recognized_with_and_without_its_classifier():
    state = file_tensors()
    assert recognize(state) == Recognition("mobile-sam", 0, 3)
    whole = to_own_names(state, build_on_meta(), TABLE)
    assert shapes_of(whole) == shapes_of(build_on_meta())
    assert recognize(whole) == Recognition("mobile-sam", 0, 3)


@pytest.mark.parametrize(
    "more",
    ["image_encoder.head_norm.weight", "mask_decoder.head.weight", "head.weight", "image_encoder.x"],
)
def test_nothing_else_is_dropped(more):
    state = file_tensors() | {more: torch.empty(320)}
    assert recognize(state) is None
    with torch.device("meta"):
        model = build(TABLE)
    with pytest.raises(WeightsMismatchError, match=f"{more} is unexpected"):
        load_state(model, to_own_names(state, model.state_dict(), TABLE), source="x.pt")


def test_a_classifier_is_not_dropped_from_other_models():
    table = PROMPTABLE["sam-l0"]
    with torch.device("meta"):
        state = {official_name(key, table): value for key, value in build(table).state_dict().items()}
    assert recognize(state | {"image_encoder.head.weight": torch.empty(1000, 320)}) is None


def test_a_file_loads_and_becomes_an_own_one(tmp_path):
    torch.manual_seed(0)
    state = {
        key: torch.rand_like(value) if value.is_floating_point() else value
        for key, value in file_tensors("cpu").items()
    }
    torch.save(state, tmp_path / "mobile_sam.pt")
    assert identify_manifest(tmp_path / "mobile_sam.pt") == find_model("mobile-sam").manifest()
    network, manifest = load_network(tmp_path / "mobile_sam.pt", find_model("mobile-sam").manifest())
    stem = network.image_encoder.patch_embed.seq[0]
    assert isinstance(stem, ConvNorm)
    assert torch.equal(stem.conv.weight, state["image_encoder.patch_embed.seq.0.c.weight"])
    assert torch.equal(stem.norm.running_var, state["image_encoder.patch_embed.seq.0.bn.running_var"])
    save_own(network, tmp_path / "own.safetensors", manifest)
    again, said = load_network(tmp_path / "own.safetensors", None)
    assert (said.name, said.architecture) == ("mobile-sam", "mobile-sam")
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(tensor, network.state_dict()[name], rtol=1e-3, atol=1e-3)


# --- its graph


@pytest.fixture(scope="module")
def compiled():
    """The graph of an encoder at 1024 with one block per stage, compiled, and the encoder."""
    narrow = (
        TinyViTStage(8, 1, heads=0, window=0, down_stride=2),
        TinyViTStage(16, 1, heads=2, window=7, down_stride=2),
        TinyViTStage(16, 1, heads=2, window=14, down_stride=1),
    )
    torch.manual_seed(0)
    encoder = TinyViT(TinyViTTable(narrow)).eval()
    for layer in encoder.modules():
        if isinstance(layer, WindowAttention):
            nn.init.normal_(layer.attention_biases)
    manifest = find_model("mobile-sam").manifest()
    signature = make_task(manifest).signatures["encode_image"]
    # the whole file has the prompts' functions too, which take a minute and are no concern of the encoder
    module = for_export(encoder)
    model = convert_function(Function(signature, module, trace_function(module, manifest, signature)), manifest)
    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    graph = core.read_model(onnx_ir.to_proto(model).SerializeToString())
    return core.compile_model(graph, "CPU", options), encoder


# the example has two images
@pytest.mark.parametrize("batch", [1, 3])
def test_one_graph_serves_every_batch(compiled, batch):
    graph, encoder = compiled
    x = image(batch, 1024, 1024)
    with torch.inference_mode():
        expected = encoder(x).numpy()
    (got,) = graph([x.numpy()]).values()
    assert got.shape == (batch, 256, 64, 64)
    assert np.abs(got - expected).max() < 5e-4 * max(1, np.abs(expected).max())
