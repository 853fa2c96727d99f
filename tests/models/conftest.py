"""What several tests of the models share."""

import json

import pytest

from threads import torch_threads


@pytest.fixture(scope="session")
def official_shapes(shared) -> dict[str, dict[str, list[int]]]:
    """Architecture name -> official key -> shape, of the published segmentation checkpoints."""
    table = json.loads((shared / "reference" / "state_dict_shapes.json").read_text())
    return {
        "seg-" + name.removeprefix("seg/").removesuffix("-cityscapes"): keys
        for name, keys in table.items()
        if name.startswith("seg/")
    }


@pytest.fixture(autouse=True)
def _one_thread():
    """Small maps gain nothing from threads, and lose much where something else runs."""
    with torch_threads(1):
        yield
