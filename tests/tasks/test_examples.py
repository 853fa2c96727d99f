"""Example inputs: equal on every machine, of the shape and type that a signature states."""

import hashlib

import numpy as np
import pytest

from densevit.tasks.base import Example, Signature, TensorSpec
from densevit.tasks.examples import fill_shape, make_example, make_examples
from densevit.tasks.table import make_task
from densevit.zoo import find_model
from helpers import tiny

IMAGE = Example("image")
LABELS = Example("whole", -1, 4)


def test_sides_count_in_multiples():
    spec = TensorSpec("image", "uint8", ("batch", "height", "width", 3))
    assert fill_shape(spec, {"batch": 2, "height": 3, "width": 5}, multiple=32) == (2, 96, 160, 3)
    spec = TensorSpec("points", "float32", ("prompts", "points", 2))
    assert fill_shape(spec, {"prompts": 4, "points": 7}, multiple=32) == (4, 7, 2)


@pytest.mark.parametrize(
    "manifest", [tiny.manifest(), find_model("sr-x2").manifest(), find_model("sam-l0").manifest()]
)
def test_examples_satisfy_the_signatures(manifest):
    sizes = {"batch": 2, "height": 1, "width": 3, "prompts": 2, "points": 3}
    for signature in make_task(manifest).signatures.values():
        shapes = tuple(fill_shape(spec, sizes, multiple=manifest.multiple) for spec in signature.inputs)
        examples = make_examples(signature, shapes, seed=1)
        signature.check_inputs(examples)
        for spec, shape in zip(signature.inputs, shapes, strict=True):
            assert examples[spec.name].shape == shape
            assert np.isfinite(examples[spec.name]).all()


def test_images_of_a_batch_differ_and_have_a_black_part():
    images = make_example(
        TensorSpec("image", "uint8", ("batch", "height", "width", 3), IMAGE), (2, 40, 24, 3), seed=0
    )
    assert not np.array_equal(images[0], images[1])
    assert not images[:, :10].any()
    assert images[:, 10:].any()


def test_golden_pairs_of_earlier_versions_stay_valid():
    """The seed in a file's header means these values for ever."""
    image = make_example(TensorSpec("image", "uint8", (1, 64, 96, 3), IMAGE), (1, 64, 96, 3), seed=0)
    assert (
        hashlib.sha256(image.tobytes()).hexdigest()
        == "181b955a41156e1243133e435cf804282503d9fdb4ee5b1a4c47afdf1380dfa1"
    )
    labels = make_example(TensorSpec("labels", "float32", (2, 3), LABELS), (2, 3), seed=0)
    assert labels.tolist() == [[3.0, 2.0, 1.0], [0.0, 0.0, -1.0]]


def test_labels_are_those_of_prompts():
    spec = TensorSpec("labels", "float32", ("prompts", "points"), LABELS)
    labels = make_example(spec, (40, 10), seed=0)
    assert set(np.unique(labels)) == {-1, 0, 1, 2, 3}
    assert list(make_examples(Signature((spec,), ()), ((1, 1),), seed=0)) == ["labels"]
