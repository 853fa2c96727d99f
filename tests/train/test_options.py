"""Settings from the command line: every kind of value, every error."""

from dataclasses import dataclass
from typing import Literal

import pytest

from densevit.core.errors import UsageError
from densevit.recipes.camvid import CamVidOptions
from densevit.train.options import Options, with_settings


@dataclass(frozen=True)
class Extended(Options):
    crop: tuple[int, int] = (3, 4)
    scale: tuple[float, float] = (0.5, 2.0)
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    text: str = ""


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("steps=5", "steps", 5),
        ("steps = 5 ", "steps", 5),
        ("learning_rate=1e-3", "learning_rate", 1e-3),
        ("learning-rate=2", "learning_rate", 2.0),
        ("clip_norm=0.5", "clip_norm", 0.5),
        ("precision=bf16", "precision", "bf16"),
        ("device=cpu", "device", "cpu"),
        ("crop=64,96", "crop", (64, 96)),
        ("crop= 64 , 96", "crop", (64, 96)),
        ("scale=0.25,4", "scale", (0.25, 4.0)),
        ("kind=b", "kind", "b"),
        ("flag=true", "flag", True),
        ("flag=False", "flag", False),
        ("text=a=b", "text", "a=b"),
        ("text=", "text", ""),
    ],
)
def test_every_kind_of_value(setting, name, value):
    got = with_settings(Extended(), [setting])
    assert getattr(got, name) == value
    assert type(getattr(got, name)) is type(value)
    assert got == Extended(**{name: value})


def test_no_settings_and_several():
    assert with_settings(Extended(), []) == Extended()
    got = with_settings(Extended(), ["steps=5", "flag=true", "steps=6"])
    assert got == Extended(steps=6, flag=True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("steps", "key=value, got 'steps'"),
        ("", "key=value"),
        ("=5", "unknown option ''"),
        ("stepz=5", "unknown option 'stepz'.*batch.*crop.*steps"),
        ("steps=five", "steps must be a whole number, got 'five'"),
        ("steps=1.5", "steps must be a whole number, got '1.5'"),
        ("steps=", "steps must be a whole number, got ''"),
        ("learning_rate=fast", "learning_rate must be a number, got 'fast'"),
        ("precision=int8", "precision must be one of auto, fp32, bf16, fp16, got 'int8'"),
        ("kind=", "kind must be one of a, b, got ''"),
        ("crop=64", "crop takes 2 values.*'64'"),
        ("crop=1,2,3", "crop takes 2 values.*'1,2,3'"),
        ("crop=1,x", "crop must be a whole number, got 'x'"),
        ("flag=1", "flag must be true or false, got '1'"),
        ("flag=yes", "flag must be true or false, got 'yes'"),
        ("steps=0", "steps must be at least 1, got 0"),
        ("batch=-1", "batch must be at least 1, got -1"),
        ("validate_every=0", "validate_every must be at least 1"),
        ("checkpoint_every=0", "checkpoint_every must be at least 1"),
        ("learning_rate=0", "learning_rate must be positive, got 0"),
        ("learning_rate=nan", "learning_rate must be positive, got nan"),
        ("learning_rate=inf", "learning_rate must be positive, got inf"),
        ("clip_norm=0", "clip_norm must be positive, got 0"),
        ("weight_decay=-1", "weight_decay must not be negative, got -1"),
        ("weight_decay=nan", "weight_decay must not be negative, got nan"),
        ("warmup_steps=-1", "warmup_steps must not be negative, got -1"),
        ("threads=-1", "threads must not be negative, got -1"),
        ("ema_decay=1", r"ema_decay must be in \[0, 1\), got 1"),
        ("ema_decay=-0.1", r"ema_decay must be in \[0, 1\), got -0.1"),
    ],
)
def test_errors(setting, message):
    with pytest.raises(UsageError, match=message):
        with_settings(Extended(), [setting])


def test_the_recipes_own_options():
    got = with_settings(
        CamVidOptions(), ["crop=64,96", "loss=hard_pixels", "class_weights=false", "teacher=x.pt", "steps=6"]
    )
    assert got == CamVidOptions(crop=(64, 96), loss="hard_pixels", class_weights=False, teacher="x.pt", steps=6)
    with pytest.raises(UsageError, match="cross_entropy, hard_pixels"):
        with_settings(CamVidOptions(), ["loss=focal"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("enlargement=0", "enlargement"),
        ("enlargement=nan", "enlargement"),
        ("dice=-1", "dice"),
        ("distillation=-1", "distillation"),
    ],
)
def test_the_recipes_own_errors(setting, message):
    with pytest.raises(UsageError, match=message):
        with_settings(CamVidOptions(), [setting])
