"""The contract of every model in the zoo: its parameters are counted right, and both runtimes give one answer.

Each architecture is built once, with random weights under official names; models that share it differ in sizes
only, so they share its graph. The network runs at the smallest sizes that reach all of its code. What depends on a
model's own size (resizing, padding, the typed result) needs no network.

An export takes half a second per block, and B3 has 26 of them. So `make test` counts the parameters of every
architecture, and runs one of each kind with one block per stage: what differs within a kind is widths and depths.
`make test-export` (DENSEVIT_FULL_DEPTH=1), which CI calls too, runs all of them at full depth.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from densevit.checkpoints.loading import WeightsFile, build_network
from densevit.checkpoints.names import official_name
from densevit.export import write_graph
from densevit.models.build import build
from densevit.predict.loading import load
from densevit.predict.segment_anything import SegmentAnything
from densevit.runtimes.eager import EagerRuntime
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.tasks.classification import ClassificationResult
from densevit.tasks.promptable import Promptable, Scene
from densevit.tasks.segmentation import SegmentationResult
from densevit.tasks.super_resolution import SuperResolutionResult
from densevit.tasks.table import make_task
from densevit.variants import ARCHITECTURES, PROMPTABLE, PromptableTable, TinyViTTable
from densevit.zoo import ZOO
from helpers import tiny

FULL_DEPTH = os.environ.get("DENSEVIT_FULL_DEPTH") == "1"
IMAGE = tiny.image(300, 500)
TOLERANCE = 5e-4  # of the outputs' range where that is above 1


def names_of(architecture):
    """The models of an architecture; the bundled segmentation model has its own classes, and its own tests."""
    return [name for name, entry in ZOO.items() if entry.architecture == architecture and name != tiny.BUNDLED]


# super-resolution by three and four has an architecture, but no model yet
NAMED = [architecture for architecture in ARCHITECTURES if names_of(architecture)]

KINDS = ("seg-b1-ade20k", "seg-l1", "cls-b0", "sam-l0", "mobile-sam", "sr-x2")
"""Each kind of backbone, head and image encoder once."""
RUN = NAMED if FULL_DEPTH else KINDS

ENCODER = ("encode_image",)
DECODED = {"sam-l0", "mobile-sam"} if FULL_DEPTH else set()
"""Clear prompts run too, with both epsilons of the decoder. Its other functions run in tests/models."""
AT_FULL_SIDE = {"sam-l0", "mobile-sam", "sam-b1"}
"""The other image encoders run at a quarter of their side, where they have all their layers too."""


# --- its parts


def make_shallow(table):
    """The architecture with at most one block per stage; as it is where full depth is asked for."""
    if FULL_DEPTH:
        return table
    if not isinstance(table, PromptableTable):
        head = replace(table.head, depth=1) if hasattr(table.head, "depth") else table.head
        return replace(table, backbone=keep_one_block(table.backbone), head=head)
    encoder = table.encoder
    if isinstance(encoder, TinyViTTable):
        return replace(table, encoder=keep_one_block(encoder))
    neck = replace(encoder.neck, depth=1)
    return replace(table, encoder=replace(encoder, backbone=keep_one_block(encoder.backbone), neck=neck))


def keep_one_block(table):
    return replace(table, stages=tuple(replace(stage, depth=min(stage.depth, 1)) for stage in table.stages))


class Pool:
    """Random numbers by the hundred million: a million drawn once, and read again from different places."""

    def __init__(self) -> None:
        self._normal = np.random.default_rng(0).standard_normal(1 << 20, np.float32)
        self._used = 0

    def draw(self, shape: torch.Size) -> torch.Tensor:
        length = shape.numel()
        start = self._used % 997
        self._used += length
        return torch.from_numpy(np.resize(self._normal[start:], length)).reshape(shape)


def random_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Tensors for a network on the meta device that keep the size of what passes; no statistic is a default."""
    pool = Pool()
    state = {}
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
            continue
        values = pool.draw(tensor.shape)
        if name.endswith("running_var"):
            values = values.clamp(-3, 3).mul_(0.15).add_(1)
        elif tensor.ndim > 1:
            values = values.mul_((1.5 / tensor[0].numel()) ** 0.5)
        else:
            values = values.mul_(0.1).add_(1.0 if name.endswith("weight") else 0.0)
        state[name] = values
    return state


@pytest.fixture
def uninitialized(monkeypatch):
    """PyTorch's own random weights are replaced at once, and drawing them takes most of the time of a build."""
    for name in ("kaiming_uniform_", "kaiming_normal_", "trunc_normal_", "uniform_", "normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)


@pytest.fixture
def restrict_functions(monkeypatch):
    """Promptable models with some of their functions, and with an image encoder for another side."""
    whole = Promptable.signatures.fget

    def restrict(kept, divisor):
        def signatures(task):
            found = {name: whole(task)[name] for name in kept}
            image, embedding = found["encode_image"].inputs[0], found["encode_image"].outputs[0]
            small = [
                replace(spec, shape=(*spec.shape[:2], *(side // divisor for side in spec.shape[2:])))
                for spec in (image, embedding)
            ]
            return found | {
                "encode_image": replace(found["encode_image"], inputs=(small[0],), outputs=(small[1],))
            }

        monkeypatch.setattr(Promptable, "signatures", property(signatures))

    return restrict


def small_inputs(entry, signature):
    """Two inputs of the first function: many tokens and few, as the attention has a way of its own for each."""
    (spec,) = signature.inputs
    if entry.task == "promptable":
        sizes = [spec.shape[2:]]
    elif entry.task == "classification":
        sizes = [(128, 192), (96, 64)]
    else:
        sizes = [(96, 192), (64, 32)]
    for seed, (height, width) in enumerate(sizes):
        image = tiny.image(height, width, seed=seed)[None]
        if spec.dtype == "uint8":
            yield {spec.name: image}
            continue
        scaled = image.astype(np.float32).transpose(0, 3, 1, 2) / 255
        yield {spec.name: np.ascontiguousarray(scaled * 4 - 2 if entry.task == "promptable" else scaled)}


def assert_same(got, expected, what):
    """Equal to `TOLERANCE`, and neither empty nor constant."""
    assert got.shape == expected.shape
    assert np.isfinite(expected).all()
    span = float(np.ptp(expected))
    assert span > 0.1, f"{what}: outputs differ by {span} only, so nothing is compared"
    assert float(np.abs(got - expected).max()) <= TOLERANCE * max(1, span), what


def check_interface(name, graph):
    """A model by name with that graph: an image of any size gives the task's typed result at its own size."""
    entry = ZOO[name]
    model = load(name, weights=graph, runtime="openvino", precision="fp32", threads=1)
    assert (model.manifest.name, model.manifest.architecture) == (name, entry.architecture)
    if entry.task == "super_resolution":
        result = model.predict(tiny.image(30, 50))
        assert isinstance(result, SuperResolutionResult)
        assert result.image.shape == (60, 100, 3)
        return
    task = model.task
    _, placement = task.preprocess(IMAGE)
    assert placement.image == (300, 500)
    generator = np.random.default_rng(0)
    if entry.task == "segmentation":
        height, width = placement.tensor
        # 1024x1707 for Cityscapes: the network is not run at such sizes, nor are its logits made
        raw = generator.normal(size=(1, len(entry.classes.names), -(-height // 8), -(-width // 8)))
        result = task.postprocess({"logits": raw.astype(np.float32)}, placement)
        assert isinstance(result, SegmentationResult)
        assert result.labels.shape == (300, 500)
        assert len(result.logits) == len(entry.classes.names)
    elif entry.task == "classification":
        raw = generator.normal(size=(1, 1000)).astype(np.float32)
        result = task.postprocess({"logits": raw}, placement)
        assert isinstance(result, ClassificationResult)
        assert len(result.top(5)) == 5
        assert placement.tensor == entry.resolution
    else:
        assert isinstance(model, SegmentAnything)
        result = task.postprocess({"embedding": np.zeros((1, 256, 64, 64), np.float32)}, placement)
        assert isinstance(result, Scene)
        assert placement.tensor == entry.resolution


def check_prompts(eager, compiled, manifest, embedding):
    task = make_task(manifest)
    scene = task.postprocess({"embedding": embedding}, task.preprocess(IMAGE)[1])
    prompts = {"boxes": [[20, 30, 200, 250], [0, 0, 500, 300]], "multimask": True, "keep_logits": True}
    expected, got = (
        SegmentAnything(task, runtime, manifest).predict(scene, **prompts) for runtime in (eager, compiled)
    )
    assert len(expected) == len(got) == 6
    assert_same(got.logits, expected.logits, "masks")
    assert_same(got.scores, expected.scores, "scores")


# --- the contract


def test_every_model_is_covered():
    covered = [name for architecture in NAMED for name in names_of(architecture)]
    assert sorted([*covered, tiny.BUNDLED]) == sorted(ZOO)


@pytest.mark.parametrize("architecture", NAMED)
def test_every_models_parameters_are_counted_right(architecture):
    with torch.device("meta"):
        network = build(ARCHITECTURES[architecture])
    parameters = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    assert {ZOO[name].cost.params for name in names_of(architecture)} == {parameters}


@pytest.mark.parametrize("architecture", RUN)
def test_every_model_on_both_runtimes(architecture, tmp_path, monkeypatch, uninitialized, restrict_functions):
    table = ARCHITECTURES[architecture]
    names = names_of(architecture)
    entry = ZOO[names[0]]
    kept = (*ENCODER, "decode_masks") if architecture in DECODED else ENCODER
    if architecture in PROMPTABLE:
        restrict_functions(kept, 1 if architecture in AT_FULL_SIDE else 4)

    table = make_shallow(table)
    monkeypatch.setitem(ARCHITECTURES, architecture, table)
    with torch.device("meta"):
        blueprint = build(table)
    state = {official_name(name, table): tensor for name, tensor in random_state(blueprint).items()}
    network, manifest = build_network(WeightsFile(Path("random.pt"), state, None), entry.manifest())
    # of the largest network, each copy has a gigabyte
    del state

    (function, signature), *_ = make_task(manifest).signatures.items()
    (output,) = signature.outputs
    inputs = list(small_inputs(entry, signature))
    eager = EagerRuntime(network, manifest, device="cpu", precision="fp32", threads=1)
    expected = [eager.run(function, tensors)[output.name] for tensors in inputs]
    if architecture not in DECODED:
        del eager
    # what it does is done below, at smaller sizes and with the runtime that users have
    monkeypatch.setattr("densevit.export.table.check", lambda *_: None)
    graph = tmp_path / "graph.onnx"
    write_graph(network, manifest, graph)
    del network

    compiled = OpenVINORuntime(graph, precision="fp32", threads=1)
    for tensors, wanted in zip(inputs, expected, strict=True):
        assert_same(compiled.run(function, tensors)[output.name], wanted, f"{architecture} {tensors.keys()}")
    if architecture in DECODED:
        check_prompts(eager, compiled, manifest, expected[0])
    del compiled

    if architecture in PROMPTABLE:
        restrict_functions(kept, 1)
    for name in names:
        check_interface(name, graph)
    # a file of a gigabyte need not wait for the end of the run
    graph.unlink()
