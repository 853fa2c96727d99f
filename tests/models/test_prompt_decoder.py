"""Prompts and masks exported together: the number of prompts and of points stays free, also in OpenVINO."""

import warnings

import openvino
import pytest
import torch
from torch import Tensor, nn

from densevit.models.mask_decoder import MaskDecoder
from densevit.models.prompts import PromptEncoder


class Decoding(nn.Module):
    """Small, with everything that the real one has: points, a mask per prompt, one image for all."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = PromptEncoder(32, grid=8, frame=128)
        self.decoder = MaskDecoder(32, depth=1, hidden=16, heads=2)
        self.register_buffer("positions", self.encoder.dense_positions())

    def forward(self, image: Tensor, points: Tensor, labels: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        sparse = self.encoder.embed_points(points, labels)
        return self.decoder(image, self.positions, sparse, self.encoder.embed_masks(masks))


def example(prompts: int, count: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(prompts)
    return (
        torch.randn(1, 32, 8, 8, generator=generator),
        torch.rand(prompts, count, 2, generator=generator) * 128,
        torch.randint(-1, 4, (prompts, count), generator=generator),
        torch.randn(prompts, 1, 32, 32, generator=generator),
    )


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return Decoding().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def compiled(module, tmp_path_factory):
    free = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        # the exporter's own code, deprecated by its own library
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        program = torch.onnx.export(
            module,
            example(3, 2),
            dynamo=True,
            dynamic_shapes=({}, {0: free, 1: free}, {0: free, 1: free}, {0: free}),
            opset_version=20,
            verbose=False,
        )
    path = tmp_path_factory.mktemp("graph") / "decoding.onnx"
    program.save(path)
    core = openvino.Core()
    return core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.mark.parametrize(("prompts", "count"), [(3, 2), (1, 1), (5, 4)])
def test_openvino_equals_eager(prompts, count, module, compiled):
    inputs = example(prompts, count)
    found = compiled([tensor.numpy() for tensor in inputs])
    for index, expected in enumerate(module(*inputs)):
        torch.testing.assert_close(torch.from_numpy(found[index]), expected, rtol=0, atol=1e-5)
