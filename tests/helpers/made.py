"""Small images and label files in the layouts of the published sets."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densevit.data.base import DataError


def save(path: Path, array: np.ndarray) -> Path:
    """Writes an image in the format of the suffix and creates its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)
    return path


def make_image(height: int = 4, width: int = 6, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def refused(action, *parts: object, error_type: type[Exception] = DataError) -> str:
    """Returns the message of the error, which must be one line that contains all parts."""
    with pytest.raises(error_type) as error:
        action()
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    return message
