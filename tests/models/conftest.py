"""What several tests of the models share."""

import json

import pytest

from helpers.threads import torch_threads


@pytest.fixture(scope="session")
def official_shapes(shared) -> dict[str, dict[str, list[int]]]:
    """Architecture name -> official key -> shape, of all 23 published checkpoints."""
    table = json.loads((shared / "reference" / "state_dict_shapes.json").read_text())
    return {name.replace("/", "-").removesuffix("-cityscapes"): keys for name, keys in table.items()}


@pytest.fixture(autouse=True)
def _one_thread():
    """Small maps gain nothing from threads, and lose much where something else runs."""
    with torch_threads(1):
        yield
