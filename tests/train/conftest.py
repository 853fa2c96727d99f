"""What several tests of training share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Small maps gain nothing from threads, and lose much where something else runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
