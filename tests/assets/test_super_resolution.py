"""The weights that come with the package, on the sets that nothing was trained on or chosen by."""

import tarfile

import numpy as np
import pytest

import densevit
from densevit import imaging
from densevit.data.table import open_data
from densevit.evaluate import evaluate
from densevit.imaging import enlarge
from densevit.metrics import SuperResolutionScore
from densevit.tasks.super_resolution import crop_to_multiple, downscale
from densevit.weights import ASSETS

BUNDLED = [name for name in ("sr-x2", "sr-x2-w0.75") if (ASSETS / f"{name}.onnx").is_file()]


@pytest.fixture(scope="module")
def sets(tmp_path_factory, shared):
    folder = tmp_path_factory.mktemp("sets")
    for name in ("bsd100_hr", "set5_hr"):
        with tarfile.open(shared / "data" / f"{name}.tar") as archive:
            archive.extractall(folder, filter="data")
    return folder


@pytest.mark.needs_shared
@pytest.mark.parametrize(("name", "published"), [("bsd100_hr", 29.56), ("set5_hr", 33.66)])
def test_degradation_gives_the_published_figures_of_bicubic(sets, name, published):
    score = SuperResolutionScore(2)
    data = open_data(f"sr:{sets / name}", "test")
    for index in range(len(data)):
        high = crop_to_multiple(data[index].image, 2)
        bicubic = np.rint(enlarge(downscale(high, 2), 2)).clip(0, 255).astype(np.uint8)
        score.update(bicubic, high)
    assert score.compute()["psnr_y"] == pytest.approx(published, abs=0.02)


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_weights_reach_what_their_card_says(sets, name):
    model = densevit.load(name, precision="fp32")
    measured = evaluate(model, open_data(f"sr:{sets / 'set5_hr'}", "test")).metrics
    card = (ASSETS / f"{name}.md").read_text(encoding="utf-8")
    assert f"| Set5 | {measured['psnr_y']:.2f} | {measured['ssim_y']:.4f} |" in card


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_weights_beat_bicubic(name):
    """On the project's example image, so that it runs everywhere."""
    from pathlib import Path

    image = imaging.read(Path(__file__).resolve().parents[2] / "examples" / "leuven_street.jpg")
    high = crop_to_multiple(image, 2)
    low = downscale(high, 2)
    ours, bicubic = SuperResolutionScore(2), SuperResolutionScore(2)
    ours.update(densevit.load(name).predict(low).image, high)
    bicubic.update(np.rint(enlarge(low, 2)).clip(0, 255).astype(np.uint8), high)
    assert ours.compute()["psnr_y"] > bicubic.compute()["psnr_y"] + 1
