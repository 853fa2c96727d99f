"""Fields of dataclasses become flags: every kind of value, every error, and what the help shows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from cyclopts import CycloptsError

from densevit.cli.flags import STDIN, Flag, run_verb
from densevit.core.errors import UsageError
from densevit.recipes.camvid import CamVidOptions
from densevit.train.options import Options


@dataclass(frozen=True)
class Inner:
    depth: Annotated[int, "Of something inside."] = 2
    rate: float | None = None


@dataclass(frozen=True)
class Extended(Options):
    steps: int = 7
    crop: Annotated[tuple[int, int], "(height, width) in pixels."] = (3, 4)
    scale: tuple[float, float] = (0.5, 2.0)
    copies: tuple[float, ...] = (1.0,)
    kind: Annotated[Literal["a", "b"], "Which of both."] = "a"
    flag: bool = False
    turned: bool = True
    text: str = ""
    tile: Annotated[str | int, "Pixels, or a word."] = "auto"
    place: Path | None = None
    names: Annotated[list[str] | None, "May be repeated."] = None
    counts: list[int] | None = None
    many: list[str] = field(default_factory=list)
    inner: Inner = Inner()


def parse(tokens: list[str], defaults: Any = None) -> Any:
    """The options that a verb gets."""
    got = []

    def verb(*, options: Any = defaults or Extended()) -> None:
        got.append(options)

    verb.__annotations__["options"] = type(defaults or Extended())
    run_verb("verb", verb, tokens, help_text="What it does.", example="verb --steps 5")
    return got[0]


@pytest.mark.parametrize(
    ("tokens", "name", "value"),
    [
        (["--steps", "5"], "steps", 5),
        (["--steps=5"], "steps", 5),
        (["--learning-rate", "1e-3"], "learning_rate", 1e-3),
        (["--learning-rate", "2"], "learning_rate", 2.0),
        (["--clip-norm", "0.5"], "clip_norm", 0.5),
        (["--precision", "bf16"], "precision", "bf16"),
        (["--device", "cpu"], "device", "cpu"),
        (["--crop", "64,96"], "crop", (64, 96)),
        (["--crop", "64x96"], "crop", (64, 96)),
        (["--crop", " 64 , 96"], "crop", (64, 96)),
        (["--scale", "0.25,4"], "scale", (0.25, 4.0)),
        (["--copies", "1,0.5,0.25"], "copies", (1.0, 0.5, 0.25)),
        (["--kind", "b"], "kind", "b"),
        (["--flag"], "flag", True),
        (["--no-turned"], "turned", False),
        (["--turned"], "turned", True),
        (["--text", "a=b"], "text", "a=b"),
        (["--text", ""], "text", ""),
        (["--text", "None"], "text", "None"),
        (["--tile", "256"], "tile", "256"),
        (["--place", "None"], "place", Path("None")),
        (["--names", "a", "--names", "b,c"], "names", ["a", "b,c"]),
        (["--counts", "1", "--counts", "2"], "counts", [1, 2]),
        (["--many", "a", "--many", "b"], "many", ["a", "b"]),
        (["--depth", "5"], "inner", Inner(5)),
        (["--rate", "0.5"], "inner", Inner(rate=0.5)),
    ],
)
def test_every_kind_of_value(tokens, name, value):
    got = parse(tokens)
    assert getattr(got, name) == value
    assert type(getattr(got, name)) is type(value)
    assert got == Extended(**{name: value})


def test_no_flags_and_several():
    assert parse([]) == Extended()
    assert parse(["--steps", "5", "--flag", "--steps", "6"]) == Extended(steps=6, flag=True)
    assert isinstance(parse(["--flag"]), Extended)


def test_defaults_are_those_of_the_options_given():
    assert parse(["--flag"], Extended(steps=3, text="x")) == Extended(steps=3, text="x", flag=True)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--stepz", "5"], "--stepz.*--steps"),
        (["--steps"], "--steps"),
        (["--counts", "1.5"], "'1.5' is not a whole number"),
        (["--flag=maybe"], "--flag"),
        (["--steps=five"], "--steps.* 'five' is not a whole number"),
        (["--steps=1.5"], "--steps.* '1.5' is not a whole number"),
        (["--steps="], "--steps.*'' is not a whole number"),
        (["--learning-rate=fast"], "--learning-rate.*fast"),
        (["--precision=int8"], "int8.*--precision.*auto.*fp32"),
        (["--kind="], "--kind.*a.*b"),
        (["--crop=64"], "--crop: takes 2 values.*'64'"),
        (["--crop=1,2,3"], "--crop: takes 2 values.*'1,2,3'"),
        (["--crop=1,x"], "--crop.*'x' is not a whole number"),
        (["--steps=0"], "steps must be at least 1, got 0"),
        (["--batch=-1"], "batch must be at least 1, got -1"),
        (["--validate-every=0"], "validate_every must be at least 1"),
        (["--checkpoint-every=0"], "checkpoint_every must be at least 1"),
        (["--learning-rate=0"], "learning_rate must be positive, got 0"),
        (["--learning-rate=nan"], "learning_rate must be positive, got nan"),
        (["--learning-rate=inf"], "learning_rate must be positive, got inf"),
        (["--clip-norm=0"], "clip_norm must be positive, got 0"),
        (["--weight-decay=-1"], "weight_decay must not be negative, got -1"),
        (["--weight-decay=nan"], "weight_decay must not be negative, got nan"),
        (["--warmup-steps=-1"], "warmup_steps must not be negative, got -1"),
        (["--threads=-1"], "threads must not be negative, got -1"),
        (["--ema-decay=1"], r"ema_decay must be in \[0, 1\), got 1"),
        (["--ema-decay=-0.1"], r"ema_decay must be in \[0, 1\), got -0.1"),
    ],
)
def test_errors(tokens, message):
    with pytest.raises((CycloptsError, UsageError), match=message):
        parse(tokens)


def test_the_recipes_own_options():
    tokens = [
        "--crop",
        "64,96",
        "--loss",
        "hard_pixels",
        "--no-class-weights",
        "--teacher",
        "x.pt",
        "--steps",
        "6",
    ]
    wanted = CamVidOptions(crop=(64, 96), loss="hard_pixels", class_weights=False, teacher="x.pt", steps=6)
    assert parse(tokens, CamVidOptions()) == wanted
    with pytest.raises(CycloptsError, match=r"cross_entropy.*hard_pixels"):
        parse(["--loss", "focal"], CamVidOptions())


@pytest.mark.parametrize("token", ["--enlargement=0", "--enlargement=nan", "--dice=-1", "--distillation=-1"])
def test_the_recipes_own_errors(token):
    with pytest.raises((CycloptsError, UsageError), match=token[2:].partition("=")[0]):
        parse([token], CamVidOptions())


def test_help_shows_type_default_and_text(capsys):
    parse_help = ["--help"]
    with pytest.raises(IndexError):
        # nothing was called
        parse(parse_help)
    out = " ".join(capsys.readouterr().out.split())
    for part in (
        "What it does.",
        "--crop",
        "(height, width) in pixels.",
        "[default: 7]",
        "--no-turned",
        "EXAMPLE",
    ):
        assert part in out
    # a field that changes a default keeps the help of the class above
    assert "Total number of optimizer steps." in out
    assert "--no-flag" not in out
    assert "--empty" not in out


@pytest.mark.parametrize("options_between", [True, False])
def test_files_and_the_standard_input(options_between):
    got = []

    def verb(
        sources: Annotated[list[str], "Files."], *, out: Annotated[str, "O.", Flag(("--out", "-o"))] = "x"
    ) -> None:
        got.append((sources, out))

    tokens = ["a", "-o", "y", STDIN, "b"] if options_between else ["a", STDIN, "b", "-o", "y"]
    run_verb("verb", verb, tokens, help_text="", example="")
    assert got == [(["a", "-", "b"], "y")]
