"""High-resolution images of any folder, and their evaluation."""

import numpy as np
import pytest

import densevit
from densevit import imaging
from densevit.data.base import DataError
from densevit.data.table import open_data
from densevit.evaluate import evaluate
from densevit.imaging import Size
from densevit.metrics import SuperResolutionScore
from helpers import tiny


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "sub/b.png", "val/c.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        imaging.save(tiny.image(41, 52, seed=len(name)), path)
    return tmp_path


def test_a_folder_or_its_split(folder):
    assert [open_data(f"sr:{folder}", "val")[index].name for index in range(1)] == ["c.png"]
    assert len(open_data(f"sr:{folder}", "test")) == 3
    with pytest.raises(DataError, match="no such folder"):
        open_data(f"sr:{folder / 'none'}", "val")


def test_scores_are_those_of_the_answers(folder):
    model = densevit.load(tiny.sr_graph(), precision="fp32", threads=1)
    data = open_data(f"sr:{folder}", "test")
    score = SuperResolutionScore(2)
    for index in range(3):
        # the last odd row is cut off before the image is downscaled
        high = data[index].image[:40, :52]
        low = imaging.resize(high, Size(20, 26), "matlab_bicubic")
        score.update(model.predict(low).image, high)
    seen = []
    evaluation = evaluate(model, data, progress=lambda done, total: seen.append((done, total)))
    assert evaluation.metrics == score.compute()
    assert evaluation.images == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_data_of_another_task(folder):
    with pytest.raises(ValueError, match="kinds that fit"):
        evaluate(tiny.model(), open_data(f"sr:{folder}", "val"))


def test_images_too_small_to_be_scored(tmp_path):
    imaging.save(np.zeros((12, 12, 3), np.uint8), tmp_path / "a.png")
    model = densevit.load(tiny.sr_graph(), precision="fp32", threads=1)
    with pytest.raises(ValueError, match="needs 15 pixels a side"):
        evaluate(model, open_data(f"sr:{tmp_path}", "val"))
