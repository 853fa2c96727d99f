"""Pairs lie on each other, the loss means what it says, and the recipes train, resume and find their images."""

import numpy as np
import pytest
import torch

from densevit import imaging
from densevit.core.errors import InputError, UsageError
from densevit.recipes import sr_div2k, sr_ffhq, sr_x2
from densevit.train.loop import fit
from densevit.train.super_resolution import Pairs, SuperResolutionLoss
from helpers import tiny

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    for index in range(5):
        path = tmp_path / ("val" if index == 4 else "train") / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        imaging.save(tiny.image(81, 97, seed=index), path)
    return tmp_path


def options(**changes):
    few = {"steps": 4, "batch": 2, "crop": 16, "validate_every": 4, "checkpoint_every": 2, "warmup_steps": 1}
    return sr_x2.SuperResolutionOptions(
        **few | {"architecture": "sr-x2-w0.75", "threads": 1, "device": "cpu"} | changes
    )


@pytest.mark.parametrize("scale", [2, 3])
def test_crops_lie_on_each_other(folder, scale):
    pairs = Pairs(sorted((folder / "train").iterdir()), scale=scale, copies=(1.0,), crop=16, device=CPU)
    low, high = pairs[0]
    assert [side * scale for side in low.shape[1:]] == list(high.shape[1:])
    batch = pairs.batch([0, 1, 2, 3] * 4, torch.Generator().manual_seed(0))
    assert batch["low"].shape == (16, 3, 16, 16)
    assert batch["high"].shape == (16, 3, 16 * scale, 16 * scale)
    means = torch.nn.functional.avg_pool2d(batch["high"], scale)
    # a downscaled pixel is close to the mean of the pixels it replaces, in every orientation of the crop
    assert (means - batch["low"]).abs().mean() < 0.25 * (means.flip(3) - batch["low"]).abs().mean()


def test_copies_enter_once_per_factor(folder):
    paths = sorted((folder / "train").iterdir())
    pairs = Pairs(paths, scale=2, copies=(1.0, 0.75), crop=16, device=CPU)
    assert len(pairs) == 8
    assert pairs[1][1].shape == (3, 60, 72)
    # a factor that makes an image smaller than a crop leaves that copy out
    assert len(Pairs(paths, scale=2, copies=(1.0, 0.25), crop=16, device=CPU)) == 4
    with pytest.raises(InputError, match="none of 4 images"):
        Pairs(paths, scale=2, copies=(1.0,), crop=64, device=CPU)


def test_a_teachers_images_are_turned_with_the_others(folder):
    paths = sorted((folder / "train").iterdir())
    answers = folder / "answers"
    answers.mkdir()
    for path in paths:
        high = imaging.read(path)[:80, :96].astype(np.uint16) * 257
        imaging.save_photo(imaging.Photo(high), answers / path.name)
    pairs = Pairs(paths, scale=2, copies=(1.0,), crop=16, device=CPU, teacher=answers)
    batch = pairs.batch([0, 1, 2, 3] * 2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch["soft"], batch["high"], atol=5e-4, rtol=0)
    offset = lambda low: batch["high"] + 0.25  # noqa: E731
    batch["soft"] = batch["high"] + 0.05
    parts = SuperResolutionLoss("l1", distillation=0.25)(offset, batch)
    assert parts["loss"] == pytest.approx(0.75 * 0.25 + 0.25 * 0.2, abs=1e-6)
    imaging.save(tiny.image(20, 20), answers / paths[0].name)
    with pytest.raises(InputError, match="the teacher's image is"):
        Pairs(paths, scale=2, copies=(1.0,), crop=16, device=CPU, teacher=answers)[0]
    with pytest.raises(UsageError, match="copies must be 1"):
        Pairs(paths, scale=2, copies=(1.0, 0.5), crop=16, device=CPU, teacher=answers)


def test_loss():
    batch = {"low": torch.rand(2, 3, 8, 8), "high": torch.rand(2, 3, 16, 16)}
    offset = lambda low: batch["high"] + 0.25  # noqa: E731
    assert SuperResolutionLoss("l1")(offset, batch)["loss"] == pytest.approx(0.25, abs=1e-6)
    assert SuperResolutionLoss("l2")(offset, batch)["loss"] == pytest.approx(1.0, abs=1e-5)
    parts = SuperResolutionLoss("l1", frequency=0.5)(offset, batch)
    assert parts["loss"] == pytest.approx(float(parts["pixels"] + 0.5 * parts["frequency"]))
    assert parts["frequency"] > 0


def test_training_improves_on_bicubic_and_resumes_exactly(folder, tmp_path):
    whole = fit(sr_x2.recipe(folder, options()), tmp_path / "whole")
    fit(sr_x2.recipe(folder, options()), tmp_path / "half", stop_after=2)
    resumed = fit(sr_x2.recipe(folder, options()), tmp_path / "half", resume=True)
    assert whole == resumed
    assert set(whole) == {"psnr_y", "ssim_y"}
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True)["model"] for name in ("whole", "half")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    start = fit(
        sr_x2.recipe(folder, options(start=str(tmp_path / "whole" / "best.safetensors"), loss="l2")),
        tmp_path / "more",
    )
    assert np.isfinite(start["psnr_y"])


def test_checkpoint_from_before_an_option_existed(folder, tmp_path):
    out = tmp_path / "old"
    fit(sr_x2.recipe(folder, options()), out, stop_after=2)
    state = torch.load(out / "last.pt", weights_only=True)
    del state["options"]["frequency"]
    torch.save(state, out / "last.pt")
    fit(sr_x2.recipe(folder, options()), out, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "seg-b0"}, "architecture must be one of sr-x2"),
        ({"crop": 40}, "multiple of 16"),
        ({"frequency": -1.0}, "must not be negative"),
        ({"distillation": 1.5}, "share"),
        ({"copies": (1.0, 2.0)}, "factors in"),
    ],
)
def test_options_that_cannot_be(change, message):
    with pytest.raises(UsageError, match=message):
        options(**change)


class TestPublishedSets:
    def test_div2k(self, tmp_path):
        for name in ("DIV2K_train_HR/0001.png", "DIV2K_valid_HR/0801.png"):
            path = tmp_path / name
            path.parent.mkdir()
            imaging.save(tiny.image(130, 150), path)
        small = sr_div2k.Div2kOptions(crop=16, architecture="sr-x2-w0.75", device="cpu")
        assert sr_div2k.recipe(tmp_path, small).batches.length == 1

    def test_ffhq_says_what_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sr_ffhq, "TRAINING", range(2))
        monkeypatch.setattr(sr_ffhq, "VALIDATION", range(60_000, 60_001))
        for name in ("00000/00000.png", "00000/00001.png", "60000/60000.png"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            imaging.save(tiny.image(64, 64), path)
        small = sr_ffhq.FfhqOptions(crop=16, architecture="sr-x2-w0.75", device="cpu")
        assert sr_ffhq.recipe(tmp_path, small).batches.length == 2
        (tmp_path / "60000/60000.png").unlink()
        with pytest.raises(InputError, match=r"1 of FFHQ's images are missing, the first is 60000\.png"):
            sr_ffhq.recipe(tmp_path, small)
