"""What every test may use: the path of ../shared, and its absence as a reason to skip."""

from pathlib import Path

import pytest

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
