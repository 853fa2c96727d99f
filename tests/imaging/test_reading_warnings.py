"""Nothing that runs on reader threads touches the warning filters, which belong to the whole process.

`warnings.catch_warnings` restores what it found. Beside another thread that does the same, it restores the other
one's filters and leaves them behind.
"""

import re
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import densevit
from densevit.data.base import read_label_image
from densevit.imaging import read, read_photo
from densevit.weights import HubFile, fetch
from helpers.hub_server import Hub, serving
from helpers.images import make_noise

EXPORT = "export"
"""Runs on the main thread alone, and PyTorch's exporter gives its warnings no other way out."""


def test_no_module_touches_the_filters():
    sources = Path(densevit.__file__).parent
    touching = re.compile(r"catch_warnings|simplefilter|filterwarnings|resetwarnings|warnings\.filters")
    found = {
        path.relative_to(sources) for path in sources.rglob("*.py") if touching.search(path.read_text("utf-8"))
    }
    assert {path for path in found if path.parts[0] != EXPORT} == set()


def run_beside_catch_warnings(action, times):
    """Calls `action` on a thread while this one enters and leaves `catch_warnings`."""
    errors = []

    def work():
        try:
            for _ in range(times):
                action()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
    thread.join()
    assert errors == []


@pytest.fixture
def same_filters():
    """The filters are the same list with the same entries afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        filters, before = warnings.filters, list(warnings.filters)
        yield
        assert warnings.filters == before
        assert warnings.filters is filters


@pytest.fixture
def label_image(tmp_path):
    path = tmp_path / "labels.png"
    Image.fromarray(make_noise(6, 7, 1)).save(path)
    return path


def test_labels_read_on_a_thread(label_image, monkeypatch, same_filters):
    expected = np.array(Image.open(label_image))
    run_beside_catch_warnings(lambda: np.testing.assert_array_equal(read_label_image(label_image), expected), 3000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)  # of 42 pixels Pillow warns, which is ignored here
    with Image.open(label_image) as image:
        assert image.size == (7, 6)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_tiff_images_above_pillows_limit_read_on_a_thread(tmp_path, monkeypatch, same_filters, compression):
    expected = make_noise(6, 7)
    Image.fromarray(expected).save(tmp_path / "x.tif", compression=compression)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    run_beside_catch_warnings(lambda: np.testing.assert_array_equal(read(tmp_path / "x.tif"), expected), 500)
    warnings.filters.pop(0)
    np.testing.assert_array_equal(read_photo(tmp_path / "x.tif").pixels, expected)


def test_weights_fetched_on_a_thread(tmp_path, monkeypatch, same_filters):
    from huggingface_hub import constants, file_download

    with serving(Hub(bytes(2000))) as hub:
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        run_beside_catch_warnings(lambda: fetch(HubFile("who/what", "x.pt")), 1)
