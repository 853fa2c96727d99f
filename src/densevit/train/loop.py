"""The training loop, the same for every task, device and number of ranks."""

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
from densevit.train.optimizer import AveragedModel, build_optimizer, compute_learning_rate
from densevit.train.options import Options

Batch = dict[str, Tensor]

CHECKPOINT_NAME = "last.pt"


class Batches:
    """Makes the batch of each step from samples that it shuffles anew every epoch.

    Order and augmentation depend only on seed, step and rank, so a resumed training needs no stored state for
    them.

    Args:
        length: number of samples.
        make: (indices, generator) -> batch on the device; the generator is on the CPU.
    """

    def __init__(self, length: int, make: Callable[[list[int], torch.Generator], Batch]) -> None:
        if length < 1:
            raise InputError("a training needs at least one sample; check the folder and the split")
        self.length = length
        self.make = make

        self._permutation: tuple[tuple[int, int], list[int]] = ((-1, -1), [])

    def __call__(self, step: int, options: Options, place: World) -> Batch:
        """The batch of one step for one rank.

        Raises:
            UsageError: the batch cannot be split evenly over the ranks.
        """
        if options.batch % place.size:
            raise UsageError(f"batch {options.batch} must be a multiple of the {place.size} ranks")
        share = options.batch // place.size
        first = step * options.batch + place.rank * share
        indices = [self._find_sample(position, options.seed) for position in range(first, first + share)]
        generator = torch.Generator().manual_seed(_mix(options.seed, step, place.rank))
        return self.make(indices, generator)

    def _find_sample(self, position: int, seed: int) -> int:
        """Each epoch has its own permutation; a batch may span two epochs."""
        epoch, place = divmod(position, self.length)
        if self._permutation[0] != (seed, epoch):
            order = list(range(self.length))
            random.Random(_mix(seed, epoch, -1)).shuffle(order)
            self._permutation = ((seed, epoch), order)
        return self._permutation[1][place]


def _mix(*numbers: int) -> int:
    """Derives a seed from several numbers, the same on every rank, machine and Python version."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7])


class DivergedError(DensevitError):
    """The loss or its gradient is infinite or NaN; the message says at which step and what to change."""


@dataclass(frozen=True)
class Training:
    """Everything that is specific to one training; a recipe builds it.

    Attributes:
        model: the trained model, on its device.
        batches: makes the batch of each step.
        loss: (model, batch) -> named scalars; "loss" is minimized, the others are logged.
        validate: (averaged model) -> named scores.
        metric: key of the score that decides which weights are best; higher is better.
        save: (averaged model, path, scores) writes a weights file for prediction.
        options: options of the loop.
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
        training: built by a recipe.
        out: folder of all outputs, created if missing.
        resume: continue from `out/last.pt` exactly as if the training had never stopped, or start if that file
            does not exist. `steps` may differ; from here on the learning rate follows the new length.
        stop_after: stop after this number of steps of this call and write a checkpoint; None trains to the end.

    Returns:
        The scores of the last validation, {} without one.

    Raises:
        CheckpointError: the checkpoint is damaged or was written with other options.
        UsageError: `out` already holds a training and `resume` is False.
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
        self.dtype = _choose_autocast_type(self.options, place.device)
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=self.dtype == torch.float16)
        self.parallel = _parallelize(self.model, place)
        self.step = 0
        self.best = float("-inf")
        self.scores: dict[str, float] = {}

    def run(self, *, resume: bool, stop_after: int | None) -> dict[str, float]:
        checkpoint = self.out / CHECKPOINT_NAME
        if checkpoint.exists():
            if not resume:
                raise UsageError(f"{checkpoint} exists: pass --resume to continue it, or another --out")
            self._restore(read_checkpoint(checkpoint, device=self.place.device))
        end = self.options.steps if stop_after is None else min(self.options.steps, self.step + stop_after)
        with self._open_report() as (bar, logs):
            while self.step < end:
                values = self._train_step()
                bar.advance(f"loss {values['loss']:.3f}")
                self._report(logs, values, every=20)
                if self.step % self.options.validate_every == 0 or self.step == self.options.steps:
                    self._validate(bar, logs)
                if self.step % self.options.checkpoint_every == 0 or self.step == end:
                    self._save_checkpoint()
        return self.scores

    @contextmanager
    def _open_report(self) -> Iterator[tuple[ProgressBar, list[Log]]]:
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
        # layers that draw random numbers get a seed per step, which also keeps resuming exact
        torch.manual_seed(_mix(options.seed, self.step, place.rank + 1))
        rate = compute_learning_rate(self.step, options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(place.device.type, self.dtype, enabled=self.dtype != torch.float32):
            losses = self.training.loss(self.parallel, batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(losses["loss"]))
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        self._check_finite(losses["loss"], norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.averaged.update(self.model, self.step)
        self.step += 1
        names = list(losses)
        means = place.mean(torch.stack([losses[name].detach().float() for name in names])).tolist()
        values = dict(zip(names, means, strict=True))
        return values | {"learning_rate": rate, "gradient_norm": float(norm)}

    def _check_finite(self, loss: Tensor, norm: Tensor) -> None:
        """Stops before the weights become NaN; with fp16 the gradient scaler skips such steps instead."""
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

    def _save_checkpoint(self) -> None:
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
        # these change neither samples nor updates, apart from the order of sums on another device or thread count;
        # `steps` may differ because a training may be resumed to make it longer
        free = {"device", "threads", "validate_every", "checkpoint_every", "steps"}
        # a checkpoint that is older than an option was written with its default
        defaults = {field.name: field.default for field in dataclasses.fields(self.options)}
        changed = [key for key in ours if key not in free and ours[key] != theirs.get(key, defaults[key])]
        processes = state.get("processes", 1)
        if processes != self.place.size:
            changed.append(f"{processes} ranks, now {self.place.size}")
        if changed:
            raise CheckpointError(
                f"{self.out / CHECKPOINT_NAME}: written with other options ({', '.join(changed)}); "
                "resume with the same options, or train into another folder"
            )
        self.model.load_state_dict(state["model"])
        self.averaged.model.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.best, self.scores = state["step"], state["best"], state["scores"]


def _parallelize(model: nn.Module, place: World) -> nn.Module:
    """Wraps the model for several ranks; on GPUs BatchNorm then uses the batches of all ranks."""
    if place.size == 1:
        return model
    if place.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(model)


def _choose_autocast_type(options: Options, device: torch.device) -> torch.dtype:
    if options.precision == "auto":
        return torch.bfloat16 if supports(device, "bf16") else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[options.precision]
