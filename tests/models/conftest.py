"""What several tests of the models share."""

import pytest

from helpers.threads import torch_threads


@pytest.fixture(autouse=True)
def _one_thread():
    """Small maps gain nothing from threads, and lose much where something else runs."""
    with torch_threads(1):
        yield
