"""The loop: batches in, weights out, the same for every task, device and number of processes."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from densevit.core.errors import DensevitError, InputError, UnavailableError, UsageError
from densevit.core.files import make_folder
from densevit.metrics.titles import format_metric
from densevit.runtimes.eager import supports
from densevit.train.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from densevit.train.distributed import World, training_device, world
from densevit.train.log import Log, ProgressBar, open_logs
from densevit.train.optimizer import AveragedModel, build_optimizer, learning_rate
from densevit.train.options import Options

Batch = dict[str, Tensor]

CHECKPOINT_NAME = "last.pt"


class Batches:
    """Where the batches come from: a number of samples, and the way to make a batch of some of them.

    Order and augmentation depend on seed, step and rank alone; nothing has to be remembered to resume.

    Args:
        length: how many samples.
        make: (indices, generator) -> batch on the device; the generator is on the CPU.
    """

    def __init__(self, length: int, make: Callable[[list[int], torch.Generator], Batch]) -> None:
        if length < 1:
            raise InputError("a training needs at least one sample; check the folder and the split")
        self.length = length
        self.make = make

        self._permutation: tuple[tuple[int, int], list[int]] = ((-1, -1), [])

    def __call__(self, step: int, options: Options, place: World) -> Batch:
        """The batch of one step for one process."""
        if options.batch % place.size:
            raise UsageError(f"batch {options.batch} must be a multiple of the {place.size} processes")
        share = options.batch // place.size
        first = step * options.batch + place.rank * share
        indices = [self._sample(position, options.seed) for position in range(first, first + share)]
        generator = torch.Generator().manual_seed(_mix(options.seed, step, place.rank))
        return self.make(indices, generator)

    def _sample(self, position: int, seed: int) -> int:
        """Every epoch is a permutation of its own; epochs follow each other without gaps."""
        epoch, place = divmod(position, self.length)
        if self._permutation[0] != (seed, epoch):
            order = list(range(self.length))
            random.Random(_mix(seed, epoch, -1)).shuffle(order)
            self._permutation = ((seed, epoch), order)
        return self._permutation[1][place]


def _mix(*numbers: int) -> int:
    """A seed of several numbers, the same in every process, version and machine."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7])


class DivergedError(DensevitError):
    """The loss or its gradient is infinite or NaN; the message says at which step and what to change."""


@dataclass(frozen=True)
class Training:
    """All that is particular to one training; a recipe builds it.

    Attributes:
        model: what is trained, on its device.
        batches: gives a batch per step.
        loss: (model, batch) -> named scalars; "loss" is the one that is minimized.
        validate: (averaged model) -> named scores.
        metric: the score by which the best weights are kept, higher is better.
        save: (averaged model, path, scores) writes the weights for use.
        options: settings of the loop.
    """

    model: nn.Module
    batches: Batches
    loss: Callable[[nn.Module, Batch], dict[str, Tensor]]
    validate: Callable[[nn.Module], dict[str, float]]
    metric: str
    save: Callable[[nn.Module, Path, dict[str, float]], None]
    options: Options


def fit(training: Training, out: Path, *, resume: bool = False, stop_after: int | None = None) -> dict[str, float]:
    """Trains to the end and leaves `best.safetensors`, `last.pt`, `log.csv` and `tensorboard/` in `out`.

    Args:
        training: what a recipe built.
        out: folder for everything; made if missing.
        resume: go on from `out/last.pt`, exactly as if never stopped; start anew if there is none. `steps` may be
            another number, and the learning rate then follows the new length from here on.
        stop_after: end after this many steps of this call, with a checkpoint (None: at the end).

    Returns:
        The scores of the last validation, {} if there was none.

    Raises:
        CheckpointError: the checkpoint is damaged or was made with other options.
        UsageError: `out` holds a training already and `resume` is False.
        DivergedError: loss or gradient became infinite or NaN; the weights of that step are not kept.
        UnavailableError: the accelerator runs out of memory.
    """
    options = training.options
    if options.threads:
        torch.set_num_threads(options.threads)
    with world(training_device(options.device)) as place:
        make_folder(out)
        try:
            return _Loop(training, out, place).run(resume=resume, stop_after=stop_after)
        except torch.OutOfMemoryError as error:
            raise UnavailableError(f"{place.device} is out of memory; lower the batch or the crop") from error


class _Loop:
    """The state of a running training."""

    def __init__(self, training: Training, out: Path, place: World) -> None:
        self.training = training
        self.options = training.options
        self.out = out
        self.place = place
        self.model = training.model.to(place.device).train()
        self.averaged = AveragedModel(self.model, self.options.ema_decay)
        self.optimizer = build_optimizer(self.model, self.options)
        self.dtype = _autocast_type(self.options, place.device)
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=self.dtype == torch.float16)
        self.parallel = _parallel(self.model, place)
        self.step = 0
        self.best = float("-inf")
        self.scores: dict[str, float] = {}

    def run(self, *, resume: bool, stop_after: int | None) -> dict[str, float]:
        checkpoint = self.out / CHECKPOINT_NAME
        if checkpoint.exists():
            if not resume:
                raise UsageError(f"{checkpoint} exists: pass --resume to go on, or another --out")
            self._restore(read_checkpoint(checkpoint, device=self.place.device))
        end = self.options.steps if stop_after is None else min(self.options.steps, self.step + stop_after)
        with self._reporting() as (bar, logs):
            while self.step < end:
                values = self._train_step()
                bar.advance(f"loss {values['loss']:.3f}")
                self._report(logs, values, every=20)
                if self.step % self.options.validate_every == 0 or self.step == self.options.steps:
                    self._validate(bar, logs)
                if self.step % self.options.checkpoint_every == 0 or self.step == end:
                    self._keep()
        return self.scores

    @contextmanager
    def _reporting(self) -> Iterator[tuple[ProgressBar, list[Log]]]:
        bar = ProgressBar(self.options.steps, start=self.step, shown=self.place.leads)
        logs = open_logs(self.out, start=self.step) if self.place.leads else []
        try:
            yield bar, logs
        finally:
            bar.close()
            for log in logs:
                log.close()

    def _train_step(self) -> dict[str, float]:
        options, place = self.options, self.place
        batch = self.training.batches(self.step, options, place)
        # layers that draw random numbers do so from the step's own seed, again so that resuming is exact
        torch.manual_seed(_mix(options.seed, self.step, place.rank + 1))
        rate = learning_rate(self.step, options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(place.device.type, self.dtype, enabled=self.dtype != torch.float32):
            losses = self.training.loss(self.parallel, batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(losses["loss"]))
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        self._refuse_nonsense(losses["loss"], norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.averaged.update(self.model, self.step)
        self.step += 1
        names = list(losses)
        means = place.mean(torch.stack([losses[name].detach().float() for name in names])).tolist()
        values = dict(zip(names, means, strict=True))
        return values | {"learning_rate": rate, "gradient_norm": float(norm)}

    def _refuse_nonsense(self, loss: Tensor, norm: Tensor) -> None:
        """Stops before weights that are no numbers are made and kept; under fp16 the scaler skips such steps."""
        finite = torch.isfinite(loss.detach()) & (torch.isfinite(norm) | self.scaler.is_enabled())
        if not bool(finite):
            raise DivergedError(
                f"loss {float(loss.detach()):.3g} with gradient norm {float(norm):.3g} at step {self.step + 1}: "
                "lower learning_rate, or resume from the last checkpoint with another precision"
            )

    def _report(self, logs: list[Log], values: dict[str, float], *, every: int) -> None:
        if self.step % every == 0:
            for log in logs:
                log.write(self.step, {f"train/{name}": value for name, value in values.items()})

    def _validate(self, bar: ProgressBar, logs: list[Log]) -> None:
        if self.place.leads:
            self.scores = self.training.validate(self.averaged.model)
            score = self.scores[self.training.metric]
            for log in logs:
                log.write(self.step, {f"val/{name}": value for name, value in self.scores.items()})
            metric = self.training.metric
            shown, best = (format_metric(metric, value) for value in (score, max(score, self.best)))
            bar.say(f"step {self.step}: {metric} {shown} (best {best})")
            if score > self.best:
                self.best = score
                self.training.save(self.averaged.model, self.out / "best.safetensors", self.scores)
        self.place.wait()

    def _keep(self) -> None:
        if self.place.leads:
            write_checkpoint(
                self.out / CHECKPOINT_NAME,
                {
                    "step": self.step,
                    "best": self.best,
                    "scores": self.scores,
                    "options": dataclasses.asdict(self.options),
                    "processes": self.place.size,
                    "model": self.model.state_dict(),
                    "averaged": self.averaged.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                },
            )
        self.place.wait()

    def _restore(self, state: dict[str, Any]) -> None:
        ours = dataclasses.asdict(self.options)
        theirs = state["options"]
        # these change neither samples nor steps; another device or thread count sums in another order, no more.
        # Another length is what a training is resumed for, too: the rate follows the new one from here on
        free = {"device", "threads", "validate_every", "checkpoint_every", "steps"}
        # a checkpoint from before an option existed was made with its default
        defaults = {field.name: field.default for field in dataclasses.fields(self.options)}
        changed = [key for key in ours if key not in free and ours[key] != theirs.get(key, defaults[key])]
        processes = state.get("processes", 1)
        if processes != self.place.size:
            changed.append(f"{processes} processes, now {self.place.size}")
        if changed:
            raise CheckpointError(
                f"{self.out / CHECKPOINT_NAME}: made with other options ({', '.join(changed)}); "
                "resume with the same ones, or train into another folder"
            )
        self.model.load_state_dict(state["model"])
        self.averaged.model.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.best, self.scores = state["step"], state["best"], state["scores"]


def _parallel(model: nn.Module, place: World) -> nn.Module:
    """The model as its processes share it; on GPUs its norms see the batches of all of them."""
    if place.size == 1:
        return model
    if place.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(model)


def _autocast_type(options: Options, device: torch.device) -> torch.dtype:
    if options.precision == "auto":
        return torch.bfloat16 if supports(device, "bf16") else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[options.precision]
