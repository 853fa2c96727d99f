"""What every test may use: the path of ../shared, and its absence as a reason to skip."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# `make test` runs the same examples everywhere; `make fuzz` explores
settings.register_profile("test", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile(
    "fuzz", max_examples=1000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, saying why, what needs ../shared where it is absent."""
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("needs_shared"):
            item.add_marker(pytest.mark.skip(reason=f"needs {SHARED}, which is not here"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared weights and data."""
    return SHARED


@pytest.fixture(scope="session")
def official_shapes(shared) -> dict[str, dict[str, list[int]]]:
    """Architecture name -> official key -> shape, of all 23 published checkpoints."""
    table = json.loads((shared / "reference" / "state_dict_shapes.json").read_text())
    return {name.replace("/", "-").removesuffix("-cityscapes"): keys for name, keys in table.items()}
