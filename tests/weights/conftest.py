"""The hub of these tests, and a cache of its own for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.hub_server import Hub, serving

CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub(CONTENT)) as served:
        yield served


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"
