"""PyTorch: the functions of one network share its parameters."""

import numpy as np
import pytest
import torch

from densevit.models.build import create_model, functions
from densevit.models.deploy import fold_norms
from densevit.runtimes.eager import EagerRuntime
from densevit.tasks.examples import fill_shape, make_examples
from densevit.tasks.table import make_task
from densevit.zoo import find_model
from helpers import tiny_promptable

SIZES = {"batch": 1, "prompts": 2, "points": 3}


@pytest.fixture(scope="module")
def promptable():
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        tiny_promptable.install(patch)
        torch.manual_seed(0)
        return create_model(tiny_promptable.NAME).eval(), find_model(tiny_promptable.NAME).manifest()


def test_a_promptable_model_is_kept_once(promptable):
    """Four functions read the same decoder, and three of them the same positions."""
    network, manifest = promptable
    stored = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
    runtime = EagerRuntime(network, manifest, device="cpu")
    positions = network.prompt_encoder.dense_positions().nbytes
    assert 0.95 * stored < runtime.parameter_bytes - positions < 1.02 * stored


def test_each_function_answers_as_alone(promptable):
    """To the last bit, as when every function had a folded copy of its own."""
    network, manifest = promptable
    runtime = EagerRuntime(network, manifest, device="cpu")
    parts = functions(network)
    for name, signature in make_task(manifest).signatures.items():
        shapes = tuple(fill_shape(spec, SIZES, multiple=manifest.multiple) for spec in signature.inputs)
        tensors = make_examples(signature, shapes, seed=0)
        alone = fold_norms(parts[name]).to(memory_format=torch.channels_last).requires_grad_(False)
        with torch.inference_mode():
            answer = alone(*(torch.from_numpy(tensor) for tensor in tensors.values()))
        expected = answer if isinstance(answer, tuple) else (answer,)
        got = runtime.run(name, tensors)
        for spec, tensor in zip(signature.outputs, expected, strict=True):
            assert np.array_equal(got[spec.name], tensor.numpy()), (name, spec.name)
