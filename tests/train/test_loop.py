"""The loop: order of samples, resuming bit for bit, what it writes, when it refuses; one process and two."""

import csv
import dataclasses
import itertools
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import densevit
from densevit.core.errors import InputError, UnavailableError, UsageError
from densevit.core.manifest import METADATA_KEY, Manifest
from densevit.recipes.camvid import CamVidOptions, recipe
from densevit.train.batches import Batches
from densevit.train.checkpoint import CheckpointError, read_checkpoint
from densevit.train.distributed import World
from densevit.train.loop import CHECKPOINT_NAME, DivergedError, Training, fit
from densevit.train.options import Options
from densevit.weights import read_tensors

CPU = torch.device("cpu")


def place(rank: int = 0, size: int = 1) -> World:
    return World(rank, size, CPU)


class TestBatches:
    """Which samples a step takes, and with which random numbers."""

    def indices(self, length: int, steps: int, options: Options, size: int = 1) -> list[list[int]]:
        batches = Batches(length, lambda indices, generator: {"indices": torch.tensor(indices)})
        return [
            [i for rank in range(size) for i in batches(step, options, place(rank, size))["indices"].tolist()]
            for step in range(steps)
        ]

    def in_turn(self, length: int, steps: int, options: Options) -> list[int]:
        return [index for batch in self.indices(length, steps, options) for index in batch]

    @pytest.mark.parametrize(("length", "batch"), [(12, 4), (7, 3), (5, 8), (1, 3)])
    def test_every_epoch_is_a_permutation(self, length, batch):
        drawn = self.in_turn(length, 4 * length, Options(batch=batch))
        epochs = [drawn[start : start + length] for start in range(0, len(drawn) - length + 1, length)]
        assert len(epochs) == 4 * batch
        for epoch in epochs:
            assert sorted(epoch) == list(range(length))

    def test_epochs_and_seeds_differ(self):
        drawn = self.in_turn(20, 8, Options(batch=5))
        assert drawn[:20] != drawn[20:]
        assert drawn != self.in_turn(20, 8, Options(batch=5, seed=1))
        assert drawn == self.in_turn(20, 8, Options(batch=5))

    @pytest.mark.parametrize("size", [2, 4])
    def test_ranks_share_a_batch(self, size):
        options = Options(batch=8)
        assert self.indices(20, 10, options, size) == self.indices(20, 10, options)
        batches = Batches(20, lambda indices, generator: {"indices": torch.tensor(indices)})
        for rank in range(size):
            assert len(batches(3, options, place(rank, size))["indices"]) == 8 // size

    def test_a_batch_that_cannot_be_shared(self):
        batches = Batches(20, lambda indices, generator: {})
        with pytest.raises(UsageError, match="batch 8 must be a multiple of the 3 ranks"):
            batches(0, Options(batch=8), place(0, 3))

    def test_random_numbers_depend_on_seed_step_and_rank_alone(self):
        batches = Batches(20, lambda _, generator: {"x": torch.rand(4, generator=generator)})

        def drawn(step: int, rank: int, seed: int) -> tuple[float, ...]:
            torch.manual_seed(np.random.randint(1000))  # the global state must not matter
            return tuple(batches(step, Options(seed=seed, batch=2), place(rank, 2))["x"].tolist())

        cases = [(step, rank, seed) for step in range(3) for rank in range(2) for seed in range(2)]
        once = [drawn(*case) for case in cases]
        assert once == [drawn(*case) for case in cases]
        assert len(set(once)) == len(cases)

    def test_no_samples(self):
        with pytest.raises(InputError, match="at least one sample"):
            Batches(0, lambda indices, generator: {})


class Tiny(nn.Module):
    """A small network with what makes resuming hard: BatchNorm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 1)
        )

    def forward(self, x):
        return self.layers(x)


def tiny(
    options: Options, *, poison: int | None = None, bad: float = float("nan"), scores=None
) -> tuple[Training, dict]:
    """A training of numbers; `poison` is the step from which the loss is `bad`."""
    torch.manual_seed(options.seed)
    seen: dict = {"indices": [], "saved": [], "validated": []}
    scores = iter(scores or [1.0] * 1000)

    def make(indices, generator):
        seen["indices"].append(indices)
        return {"x": torch.randn(len(indices), 3, 4, 4, generator=generator)}

    def loss(model, batch):
        value = model(batch["x"]).square().mean()
        if poison is not None and len(seen["indices"]) > poison:
            value = value * bad
        return {"loss": value, "part": value / 2}

    def validate(model):
        seen["validated"].append(model.training)
        return {"score": next(scores), "other": 3.0}

    def save(model, path, values):
        seen["saved"].append((path.name, dict(values)))
        path.write_bytes(b"weights")

    return Training(Tiny(), Batches(6, make), loss, validate, "score", save, options), seen


QUICK = Options(
    steps=6, batch=2, warmup_steps=2, validate_every=2, checkpoint_every=2, precision="fp32", device="cpu"
)


def rows(folder: Path) -> list[tuple[int, str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        head, *body = csv.reader(file)
    assert head == ["step", "name", "value"]
    return [(int(step), name, value) for step, name, value in body]


def tensors_of(value, prefix: str = "") -> dict[str, object]:
    """All leaves of a nested state, by path."""
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list | tuple):
        pairs = enumerate(value)
    else:
        return {prefix: value}
    return {k: v for key, entry in pairs for k, v in tensors_of(entry, f"{prefix}/{key}").items()}


def assert_same_state(first: Path, second: Path) -> None:
    one, two = (tensors_of(read_checkpoint(folder / CHECKPOINT_NAME, device=CPU)) for folder in (first, second))
    assert one.keys() == two.keys()
    assert any("optimizer" in key and "exp_avg" in key for key in one)
    assert any("averaged" in key for key in one)
    for key, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, two[key]), key
        else:
            assert value == two[key], key


class TestFit:
    """Files, scores and refusals, on a network that costs nothing."""

    def test_a_whole_run(self, tmp_path):
        training, seen = tiny(QUICK, scores=[0.5, 0.7, 0.6])
        before = training.model.state_dict()["layers.0.weight"].clone()
        out = tmp_path / "a" / "b"
        assert fit(training, out, resume=False) == {"score": 0.6, "other": 3.0}
        assert not torch.equal(training.model.state_dict()["layers.0.weight"], before)
        assert len(seen["indices"]) == 6
        assert seen["validated"] == [False] * 3
        # the best is kept, not the last
        assert seen["saved"] == [
            ("best.safetensors", {"score": 0.5, "other": 3.0}),
            ("best.safetensors", {"score": 0.7, "other": 3.0}),
        ]
        scores = [(step, value) for step, name, value in rows(out) if name == "val/score"]
        assert scores == [(2, "0.5"), (4, "0.7"), (6, "0.6")]
        state = read_checkpoint(out / CHECKPOINT_NAME, device=CPU)
        assert state["step"] == 6
        assert state["best"] == 0.7

    def test_the_last_step_is_always_validated(self, tmp_path):
        training, seen = tiny(dataclasses.replace(QUICK, steps=5, validate_every=4))
        fit(training, tmp_path, resume=False)
        assert len(seen["validated"]) == 2

    @pytest.mark.parametrize("pieces", [(3, 3), (1, 1, 4), (5, 10)])
    def test_resuming_is_exact(self, tmp_path, pieces):
        options = dataclasses.replace(QUICK, validate_every=3)
        fit(tiny(options)[0], tmp_path / "whole", resume=False)
        for index, steps in enumerate(pieces):
            training, seen = tiny(options)
            torch.manual_seed(1234 + index)  # another process has another state
            if index:
                nn.init.normal_(training.model.layers[0].weight)  # and its first weights do not matter
            fit(training, tmp_path / "parts", resume=index > 0, stop_after=steps)
            assert len(seen["indices"]) == min(steps, 6 - sum(pieces[:index]))
        assert_same_state(tmp_path / "whole", tmp_path / "parts")
        assert rows(tmp_path / "whole") == rows(tmp_path / "parts")

    def test_killed_between_two_checkpoints(self, tmp_path):
        """What was done after the last checkpoint is done again, and logged once."""
        options = dataclasses.replace(QUICK, steps=45, checkpoint_every=15, validate_every=10)
        fit(tiny(options)[0], tmp_path / "whole", resume=False)
        killed, _ = tiny(options)

        calls = itertools.count()

        def loss(model, batch):
            if next(calls) == 41:
                raise KeyboardInterrupt
            return killed.loss(model, batch)

        with pytest.raises(KeyboardInterrupt):
            fit(dataclasses.replace(killed, loss=loss), tmp_path / "killed", resume=False)
        # that of the last validation, before which it is written
        assert read_checkpoint(tmp_path / "killed" / CHECKPOINT_NAME, device=CPU)["step"] == 40
        assert max(step for step, _, _ in rows(tmp_path / "killed")) == 40
        fit(tiny(options)[0], tmp_path / "killed", resume=True)
        assert_same_state(tmp_path / "whole", tmp_path / "killed")
        got = rows(tmp_path / "killed")
        assert got == rows(tmp_path / "whole")
        assert max(Counter((step, name) for step, name, _ in got).values()) == 1
        assert {step for step, name, _ in got if name == "train/loss"} == {20, 40}

    def test_resuming_a_finished_run_does_nothing(self, tmp_path):
        scores = fit(tiny(QUICK)[0], tmp_path, resume=False)
        before = rows(tmp_path)
        training, seen = tiny(QUICK)
        assert fit(training, tmp_path, resume=True) == scores
        assert seen == {"indices": [], "saved": [], "validated": []}
        assert rows(tmp_path) == before

    def test_resuming_without_a_checkpoint_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match=r"last\.pt: no checkpoint to resume from; leave --resume out"):
            fit(tiny(QUICK)[0], tmp_path, resume=True)

    def test_a_validation_that_fails_costs_nothing(self, tmp_path):
        fit(tiny(QUICK)[0], tmp_path / "whole")
        training, _ = tiny(QUICK)

        def fail(model):
            raise InputError("val/1.jpg cannot be read")

        with pytest.raises(InputError, match=r"val/1\.jpg"):
            fit(dataclasses.replace(training, validate=fail), tmp_path / "cut")
        assert read_checkpoint(tmp_path / "cut" / CHECKPOINT_NAME, device=CPU)["step"] == 2
        scores = fit(tiny(QUICK)[0], tmp_path / "cut", resume=True)
        assert scores == {"score": 1.0, "other": 3.0}
        assert_same_state(tmp_path / "whole", tmp_path / "cut")
        assert rows(tmp_path / "whole") == rows(tmp_path / "cut")

    @pytest.mark.parametrize("score", [float("nan"), float("inf")])
    def test_a_score_that_is_no_number_ends_the_training(self, tmp_path, score):
        training, seen = tiny(QUICK, scores=[score])
        with pytest.raises(DivergedError, match=r"step 2: the score score is (nan|inf)"):
            fit(training, tmp_path)
        assert seen["saved"] == []
        assert read_checkpoint(tmp_path / CHECKPOINT_NAME, device=CPU)["step"] == 2

    def test_a_batch_that_diverges_is_kept(self, tmp_path):
        with pytest.raises(DivergedError, match=r"failed_batch\.rank0\.pt holds the batch"):
            fit(tiny(QUICK, poison=3)[0], tmp_path)
        held = read_checkpoint(tmp_path / "failed_batch.rank0.pt", device=CPU)
        assert held["batch"]["x"].shape == (2, 3, 4, 4)

    def test_numbers_of_numpy_paths_and_lists_are_stored(self, tmp_path):
        @dataclasses.dataclass(frozen=True)
        class More(Options):
            folder: Path = Path("a/b")
            names: list[str] = dataclasses.field(default_factory=lambda: ["x", "y"])
            side: int | None = None

        options = More(**dataclasses.asdict(QUICK))
        training, _ = tiny(options)
        scored = dataclasses.replace(training, validate=lambda model: {"score": np.float32(0.5)})
        fit(scored, tmp_path, stop_after=4)
        again, _ = tiny(options)
        assert fit(dataclasses.replace(again, validate=scored.validate), tmp_path, resume=True) == {"score": 0.5}
        changed, _ = tiny(dataclasses.replace(options, folder=Path("c")))
        with pytest.raises(CheckpointError, match="written with other options \\(folder\\)"):
            fit(changed, tmp_path, resume=True)

    def test_options_that_no_checkpoint_holds_are_refused_before_step_1(self, tmp_path):
        @dataclasses.dataclass(frozen=True)
        class Odd(Options):
            what: object = dataclasses.field(default_factory=object)

        training, seen = tiny(Odd(**dataclasses.asdict(QUICK)))
        with pytest.raises(UsageError, match="type object cannot be stored"):
            fit(training, tmp_path)
        assert seen["indices"] == []

    def test_another_model_is_one_line(self, tmp_path):
        fit(tiny(QUICK)[0], tmp_path, stop_after=2)
        training, _ = tiny(QUICK)
        other = dataclasses.replace(training, model=nn.Sequential(nn.Flatten(), nn.Linear(48, 2)))
        with pytest.raises(
            CheckpointError, match=r"last\.pt: holds another model \(.*resume with the data and"
        ) as caught:
            fit(other, tmp_path, resume=True)
        assert "\n" not in str(caught.value)

    def test_an_existing_training_is_not_overwritten(self, tmp_path):
        fit(tiny(QUICK)[0], tmp_path, resume=False, stop_after=2)
        before = (tmp_path / CHECKPOINT_NAME).read_bytes()
        with pytest.raises(UsageError, match=r"last\.pt.*--resume"):
            fit(tiny(QUICK)[0], tmp_path, resume=False)
        assert (tmp_path / CHECKPOINT_NAME).read_bytes() == before

    @pytest.mark.parametrize(
        "change",
        [
            {"batch": 3},
            {"seed": 1},
            {"learning_rate": 1e-4},
            {"precision": "bf16"},
            {"ema_decay": 0.5},
        ],
    )
    def test_resuming_with_other_options(self, tmp_path, change):
        fit(tiny(QUICK)[0], tmp_path, resume=False, stop_after=2)
        with pytest.raises(CheckpointError, match=rf"last\.pt.*\({next(iter(change))}\)"):
            fit(tiny(dataclasses.replace(QUICK, **change))[0], tmp_path, resume=True)

    def test_resuming_with_another_length(self, tmp_path):
        fit(tiny(QUICK)[0], tmp_path, resume=False, stop_after=2)
        fit(tiny(dataclasses.replace(QUICK, steps=QUICK.steps + 2))[0], tmp_path, resume=True)
        assert read_checkpoint(tmp_path / CHECKPOINT_NAME, device=CPU)["step"] == QUICK.steps + 2

    def test_resuming_with_options_that_change_nothing(self, tmp_path):
        fit(tiny(QUICK)[0], tmp_path, resume=False, stop_after=2)
        options = dataclasses.replace(QUICK, validate_every=6, checkpoint_every=1, device="auto")
        if not torch.cuda.is_available() and not torch.backends.mps.is_available():
            fit(tiny(options)[0], tmp_path, resume=True)

    def test_a_damaged_checkpoint(self, tmp_path):
        fit(tiny(QUICK)[0], tmp_path, resume=False, stop_after=2)
        path = tmp_path / CHECKPOINT_NAME
        path.write_bytes(path.read_bytes()[:-50])
        with pytest.raises(CheckpointError, match=r"last\.pt"):
            fit(tiny(QUICK)[0], tmp_path, resume=True)

    def test_running_out_of_memory_says_what_to_lower(self, tmp_path):
        def loss(model, batch):
            raise torch.OutOfMemoryError("CUDA out of memory")

        with pytest.raises(UnavailableError, match="cpu is out of memory; lower the batch"):
            fit(dataclasses.replace(tiny(QUICK)[0], loss=loss), tmp_path)

    @pytest.mark.parametrize(
        ("metric", "shown"), [("ssim_y", "0.9018"), ("mse", "0.002700"), ("miou", "72.40 %"), ("own", "0.5000")]
    )
    def test_scores_are_printed_with_the_digits_of_their_metric(self, tmp_path, capsys, metric, shown):
        values = iter([float(shown.split()[0]), 0.0, 0.0])
        training = dataclasses.replace(
            tiny(QUICK)[0], metric=metric, validate=lambda model: {metric: next(values)}
        )
        fit(training, tmp_path)
        printed = capsys.readouterr().err
        assert f"step 2: {metric} {shown} (best {shown})" in printed
        assert f"step 6: {metric} 0.00" in printed
        assert printed.count(f"(best {shown})") == 3

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_a_loss_that_is_no_number(self, tmp_path, bad):
        training, seen = tiny(QUICK, poison=3, bad=bad)
        with pytest.raises(DivergedError, match=r"step 4.*learning_rate"):
            fit(training, tmp_path, resume=False)
        assert len(seen["indices"]) == 4
        assert all(tensor.isfinite().all() for tensor in training.model.state_dict().values())
        # the checkpoint is the one before it
        state = read_checkpoint(tmp_path / CHECKPOINT_NAME, device=CPU)
        assert state["step"] == 2
        assert all(tensor.isfinite().all() for tensor in state["model"].values())

    def test_gradients_are_clipped_and_the_rate_is_followed(self, tmp_path):
        options = dataclasses.replace(QUICK, steps=20, warmup_steps=40, learning_rate=4.0)
        training, _ = tiny(options)
        fit(training, tmp_path, resume=False)
        values = {name: float(value) for step, name, value in rows(tmp_path) if step == 20}
        assert values["train/learning_rate"] == pytest.approx(2.0)
        assert values["train/part"] == pytest.approx(values["train/loss"] / 2, rel=1e-4)

    def test_it_learns(self, tmp_path):
        options = dataclasses.replace(QUICK, steps=60, learning_rate=0.05, validate_every=60)
        fit(tiny(options)[0], tmp_path, resume=False)
        values = [float(value) for _, name, value in rows(tmp_path) if name == "train/loss"]
        assert values[-1] < values[0] / 2


def camvid(root: Path) -> Path:
    """Eight images of 64 x 96 in CamVid's layout: blocks of classes whose colors can be learnt."""
    generator = np.random.default_rng(0)
    colors = generator.integers(0, 256, (12, 3), dtype=np.uint8)
    for split, number in (("train", 8), ("val", 2)):
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        for index in range(number):
            labels = generator.integers(0, 12, (4, 6), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
            Image.fromarray(colors[labels]).save(root / split / f"{index}.png")
            Image.fromarray(labels).save(root / f"{split}annot" / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return camvid(tmp_path_factory.mktemp("camvid"))


class TestCamVidRecipe:
    """The real recipe, with options so small that it takes seconds."""

    options = CamVidOptions(
        steps=6, batch=2, crop=(64, 96), enlargement=0.25, validate_every=4, checkpoint_every=4, device="cpu"
    )

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_resuming_is_exact(self, images, tmp_path, precision):
        options = dataclasses.replace(self.options, precision=precision)
        whole = fit(recipe(images, options), tmp_path / "whole", resume=False)
        fit(recipe(images, options), tmp_path / "parts", resume=False, stop_after=3)
        torch.manual_seed(99)
        parts = fit(recipe(images, options), tmp_path / "parts", resume=True)
        assert whole == parts
        assert_same_state(tmp_path / "whole", tmp_path / "parts")
        assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
        assert max(Counter(row[:2] for row in rows(tmp_path / "parts")).values()) == 1
        one, two = (read_tensors(tmp_path / name / "best.safetensors") for name in ("whole", "parts"))
        assert one[1] == two[1]
        assert all(np.array_equal(tensor, two[0][name]) for name, tensor in one[0].items())
        manifest = Manifest.from_json(one[1][METADATA_KEY], source="best")
        assert (manifest.task, manifest.architecture) == ("segmentation", "seg-b0")
        assert len(manifest.class_names) == 11
        assert 0 <= manifest.metrics["camvid/val/miou"] <= 100
        # no trace of what only training needs
        assert all(name.startswith(("backbone.", "head.")) for name in one[0])

    def test_resuming_with_other_options(self, images, tmp_path):
        options = dataclasses.replace(self.options, validate_every=100, precision="fp32")
        fit(recipe(images, options), tmp_path, resume=False, stop_after=1)
        other = dataclasses.replace(options, crop=(96, 64))
        with pytest.raises(CheckpointError, match=r"\(crop\)"):
            fit(recipe(images, other), tmp_path, resume=True)

    def test_the_same_seed_makes_the_same_training(self, images):
        states = [recipe(images, self.options).model.state_dict() for _ in range(2)]
        assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
        other = recipe(images, dataclasses.replace(self.options, seed=1)).model.state_dict()
        assert not all(torch.equal(tensor, other[name]) for name, tensor in states[0].items())


SCRIPT = """
import json, os, sys, warnings
from pathlib import Path

warnings.simplefilter("error")
import torch
from torch import nn
from densevit.train.batches import Batches
from densevit.train.loop import Training, fit
from densevit.train.options import Options

torch.set_num_threads(1)
rank = int(os.environ["RANK"])
out = Path(sys.argv[1])
torch.manual_seed(rank)  # the ranks must agree all the same
model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 1))
seen, saved = [], []


def make(indices, generator):
    seen.append(indices)
    return {"x": torch.randn(len(indices), 3, 4, 4, generator=generator)}


training = Training(
    model,
    Batches(12, make),
    lambda model, batch: {"loss": model(batch["x"]).square().mean()},
    lambda model: {"score": 1.0},
    "score",
    lambda model, path, scores: saved.append(path.name),
    Options(steps=20, batch=4, warmup_steps=1, validate_every=20, device="cpu", precision="fp32"),
)
fit(training, out, resume=False)
numbers = torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).tolist()
result = {"seen": seen, "saved": saved, "numbers": numbers}
(out / f"rank{rank}.json").write_text(json.dumps(result))
"""


def gloo_works() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_gloo_available()


@pytest.mark.slow
@pytest.mark.skipif(not gloo_works(), reason="this build of torch has no gloo")
def test_two_ranks(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    out = tmp_path / "out"
    source = str(Path(densevit.__file__).parent.parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    if socket.gethostname() != "localhost":
        command += ["--local-addr", "localhost"]
    done = subprocess.run(
        [*command, str(script), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((out / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["numbers"] == second["numbers"]
    # each took its half of every batch, and together the epochs are permutations
    assert {len(indices) for rank in (first, second) for indices in rank["seen"]} == {2}
    drawn = [i for pair in zip(first["seen"], second["seen"], strict=True) for half in pair for i in half]
    assert len(drawn) == 80
    for start in range(0, 72, 12):
        assert sorted(drawn[start : start + 12]) == list(range(12))
    # one of them writes
    assert first["saved"] == ["best.safetensors"]
    assert second["saved"] == []
    assert Counter((step, name) for step, name, _ in rows(out))[20, "val/score"] == 1
    state = read_checkpoint(out / CHECKPOINT_NAME, device=CPU)
    assert state["step"] == 20
    stored = [state["model"][name] for name in ("0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias")]
    assert torch.cat([tensor.flatten() for tensor in stored]).tolist() == first["numbers"]
