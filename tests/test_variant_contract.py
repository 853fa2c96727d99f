"""The contract of every model of the zoo: random weights of its architecture, an image, both runtimes.

The weights are a file with official names, as downloaded ones are. Models of one architecture differ in sizes,
so they share the file and the graph that OpenVINO runs.

Exporting costs about half a second per block, and B3 has 26 of them. So here each stage keeps one block: widths,
kernels, strides, head dimensions and heads are those of the published model, and every kind of layer is exported.
`make test-export` (DENSEVIT_FULL_DEPTH=1) runs the same tests at full depth; `tests/models` builds every model at
full depth and counts its parameters.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from densevit.checkpoints.names import official_name
from densevit.models.build import build
from densevit.predict.loading import load
from densevit.predict.segment_anything import SegmentAnything
from densevit.tasks.classification import ClassificationResult
from densevit.tasks.promptable import Promptable, Scene
from densevit.tasks.segmentation import SegmentationResult
from densevit.tasks.super_resolution import SuperResolutionResult
from densevit.variants import ARCHITECTURES, PROMPTABLE, PromptableTable, TinyViTTable
from densevit.zoo import ZOO
from helpers import tiny

FULL_DEPTH = os.environ.get("DENSEVIT_FULL_DEPTH") == "1"
HEIGHT, WIDTH = 60, 100
IMAGE = tiny.image(HEIGHT, WIDTH)
# at 1024x1707 pixels, the published size of such an image, L2 takes half a minute
SIZES = {"cityscapes": "native", "ade20k": "native"}


def names_of(architecture):
    """The models of an architecture; the bundled segmentation model has its own classes, and its own tests."""
    return [name for name, entry in ZOO.items() if entry.architecture == architecture and name != tiny.BUNDLED]


# super-resolution by three and four has an architecture, and no model yet
NAMED = [architecture for architecture in ARCHITECTURES if names_of(architecture)]


def shallow(table):
    """The same architecture with one block per stage, or the whole one where full depth is asked for."""
    if FULL_DEPTH:
        return table
    if architecture_of(table) is TinyViTTable:
        stages = tuple(replace(stage, depth=1) for stage in table.encoder.stages)
        return replace(table, encoder=replace(table.encoder, stages=stages))
    if isinstance(table, PromptableTable):
        neck = replace(table.encoder.neck, depth=1)
        backbone = shallow_backbone(table.encoder.backbone)
        return replace(table, encoder=replace(table.encoder, backbone=backbone, neck=neck))
    changes = {"backbone": shallow_backbone(table.backbone)}
    if hasattr(table.head, "depth"):
        changes["head"] = replace(table.head, depth=1)
    return replace(table, **changes)


def architecture_of(table):
    return type(table.encoder) if isinstance(table, PromptableTable) else type(table)


def shallow_backbone(backbone):
    stages = tuple(replace(stage, depth=min(stage.depth, 1)) for stage in backbone.stages)
    return replace(backbone, stages=stages)


def write_weights(architecture, path):
    """Random weights under official names, where there are any; BatchNorm statistics are not the defaults."""
    table = ARCHITECTURES[architecture]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(table)
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(std=0.1)
                layer.running_var.uniform_(0.5, 1.5)
    state = {official_name(name, table): tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state}, path)
    return path


DECODED = {"sam-l0", "mobile-sam"}
"""Whose prompts are answered too: the decoder is one module with two epsilons, and its export takes long."""


@pytest.fixture
def encoder_alone(monkeypatch):
    """Promptable models without their decoder."""
    whole = Promptable.signatures.fget
    part = property(lambda task: {"encode_image": whole(task)["encode_image"]})
    return lambda: monkeypatch.setattr(Promptable, "signatures", part)


def check_prompts(eager, compiled, scene):
    prompts = {"boxes": [[4, 6, 40, 50], [0, 0, WIDTH, HEIGHT]], "multimask": True, "keep_logits": True}
    expected, got = (model.predict(scene, **prompts) for model in (eager, compiled))
    assert len(expected) == len(got) == 6
    for one, other in ((expected.logits, got.logits), (expected.scores, got.scores)):
        assert np.abs(one - other).max() < 5e-4 * max(1.0, np.ptp(one))


def answer(model):
    """What a model makes of the image alone; Segment Anything's masks need prompts, its embedding none."""
    return model.encode(IMAGE) if isinstance(model, SegmentAnything) else model.predict(IMAGE)


def outputs(result):
    match result:
        case Scene():
            return result.embedding
        case SuperResolutionResult():
            return result.image / np.float32(255)
        case _:
            return result.logits


def check(result, name):
    """The typed result of the model's task, at the image's own size."""
    entry = ZOO[name]
    match entry.task:
        case "segmentation":
            assert isinstance(result, SegmentationResult)
            assert result.labels.shape == (HEIGHT, WIDTH)
            assert len(result.logits) == len(entry.classes.names)
        case "classification":
            assert isinstance(result, ClassificationResult)
            assert len(result.top(5)) == 5
            assert result.placement.tensor == entry.resolution
        case "super_resolution":
            assert isinstance(result, SuperResolutionResult)
            assert result.image.shape == (2 * HEIGHT, 2 * WIDTH, 3)
            return
        case _:
            assert isinstance(result, Scene)
            assert result.embedding.shape == (256, 64, 64)
            assert result.placement.tensor == entry.resolution
    assert result.placement.image == (HEIGHT, WIDTH)
    assert np.isfinite(outputs(result)).all()


def test_every_model_is_covered():
    covered = [name for architecture in NAMED for name in names_of(architecture)]
    assert sorted([*covered, tiny.BUNDLED]) == sorted(ZOO)


@pytest.mark.parametrize("architecture", NAMED)
def test_every_model_on_both_runtimes(architecture, tmp_path, monkeypatch, encoder_alone):
    if architecture in PROMPTABLE and architecture not in DECODED:
        encoder_alone()
    monkeypatch.setenv("DENSEVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ARCHITECTURES, architecture, shallow(ARCHITECTURES[architecture]))
    weights = write_weights(architecture, tmp_path / "weights.pt")
    first, *others = names_of(architecture)
    options = {"device": "cpu", "precision": "fp32", "threads": 2}

    size = SIZES.get(ZOO[first].data_set)
    eager = load(first, weights=weights, runtime="eager", size=size, **options)
    compiled = load(first, weights=weights, runtime="openvino", size=size, **options)
    expected, got = answer(eager), answer(compiled)
    for result in (expected, got):
        check(result, first)
    if architecture in DECODED:
        check_prompts(eager, compiled, expected)
    span = float(np.ptp(outputs(expected)))
    assert span > 0
    # enlarged images are rounded to 8 bits
    step = 1 / 255 if ZOO[first].task == "super_resolution" else 0
    assert float(np.abs(outputs(got) - outputs(expected)).max()) <= 5e-4 * max(1, span) + step

    (graph,) = (tmp_path / "cache" / "graphs").glob("*.onnx")
    weights.unlink()
    for name in others:
        assert ZOO[name].manifest().size != ZOO[first].manifest().size
    # the graph serves every size: the largest shows it
    for name in others[-1:]:
        check(answer(load(graph, size=ZOO[name].size, **options)), name)
