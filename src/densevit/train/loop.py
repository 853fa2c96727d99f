"""The training loop, the same for every task, device and number of ranks."""

from __future__ import annotations

import dataclasses
import logging
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from densevit.checkpoints.state import list_differences, shapes_of, summarize
from densevit.core.errors import DensevitError, UnavailableError, UsageError
from densevit.core.files import make_folder
from densevit.metrics.titles import format_metric
from densevit.runtimes.eager import supports
from densevit.train.batches import Batch, Batches, mix_seeds
from densevit.train.checkpoint import CheckpointError, read_checkpoint, to_plain, write_checkpoint
from densevit.train.distributed import World, training_device, world
from densevit.train.folder import occupy_folder
from densevit.train.log import Log, ProgressBar, open_logs
from densevit.train.optimizer import AveragedModel, build_optimizer, compute_learning_rate
from densevit.train.options import Options
from densevit.train.signals import StopRequest, exit_for, watch_signals

_log = logging.getLogger("densevit")

CHECKPOINT_NAME = "last.pt"


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
        resume: continue from `out/last.pt` exactly as if the training had never stopped. `steps` may differ; from
            here on the learning rate follows the new length.
        stop_after: stop after this number of steps of this call and write a checkpoint; None trains to the end.

    Returns:
        The scores of the last validation, {} without one.

    Raises:
        CheckpointError: the checkpoint is damaged or was written with other options.
        UsageError: `out` already holds a training and `resume` is False, or it holds none and `resume` is True;
            another training runs there; or an option that no checkpoint can hold.
        DivergedError: loss, gradient or score became infinite or NaN; the weights of that step are not kept.
        UnavailableError: the accelerator runs out of memory, or the disk is full.
        KeyboardInterrupt: Ctrl-C, after a checkpoint was written.
        SystemExit: SIGTERM, likewise; its code is 143.
    """
    options = training.options
    if options.threads:
        torch.set_num_threads(options.threads)
    with world(training_device(options.device)) as place:
        make_folder(out)
        occupied = occupy_folder(out) if place.leads else nullcontext()
        try:
            with occupied, watch_signals() as request:
                return _Loop(training, out, place, request).run(resume=resume, stop_after=stop_after)
        except torch.OutOfMemoryError as error:
            raise UnavailableError(f"{place.device} is out of memory; lower the batch or the crop") from error


class _Loop:
    """The state of a running training."""

    def __init__(self, training: Training, out: Path, place: World, request: StopRequest) -> None:
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
        self.request = request
        # refused before step 1, not by the reader of a checkpoint
        self.plain_options = to_plain(dataclasses.asdict(self.options))
        self.step = 0
        self.validated = True
        self.best = float("-inf")
        self.scores: dict[str, float] = {}

    def run(self, *, resume: bool, stop_after: int | None) -> dict[str, float]:
        self._begin(resume)
        end = self.options.steps if stop_after is None else min(self.options.steps, self.step + stop_after)
        with self._open_report() as (bar, logs):
            if not self.validated:
                # the training ended between the checkpoint of its step and that step's validation
                self._validate(bar, logs)
            while self.step < end:
                values = self._train_step()
                bar.advance(f"loss {values['loss']:.3f}")
                self._report(logs, values, every=20)
                self._finish_step(bar, logs, last=self.step == end)
        return self.scores

    def _begin(self, resume: bool) -> None:
        checkpoint = self.out / CHECKPOINT_NAME
        if not resume:
            if checkpoint.exists():
                raise UsageError(f"{checkpoint} exists: pass --resume to continue it, or another --out")
            return
        if not checkpoint.exists():
            raise UsageError(f"{checkpoint}: no checkpoint to resume from; leave --resume out, or check --out")
        self._restore(read_checkpoint(checkpoint, device=self.place.device))
        if self.place.leads:
            _log.info("%s: resuming from step %d of %d", checkpoint, self.step, self.options.steps)

    def _finish_step(self, bar: ProgressBar, logs: list[Log], *, last: bool) -> None:
        """Checkpoint, then validation, so that a validation that fails or is interrupted costs nothing."""
        stopping = self.place.any(self.request.received)
        due = self.step % self.options.validate_every == 0 or self.step == self.options.steps
        self.validated = not due
        if due or last or stopping or self.step % self.options.checkpoint_every == 0:
            self._save_checkpoint()
        if stopping:
            exit_for(self.request.received or signal.SIGTERM)
        if due:
            self.request.at_once = True
            self._validate(bar, logs)
            self.request.at_once = False
            if last:
                self._save_checkpoint()

    @contextmanager
    def _open_report(self) -> Iterator[tuple[ProgressBar, list[Log]]]:
        bar = ProgressBar(self.options.steps, start=self.step, shown=self.place.leads)
        logs = open_logs(self.out, start=self.step, validated=self.validated) if self.place.leads else []
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
        torch.manual_seed(mix_seeds(options.seed, self.step, place.rank + 1))
        rate = compute_learning_rate(self.step, options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(place.device.type, self.dtype, enabled=self.dtype != torch.float32):
            losses = self.training.loss(self.parallel, batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(losses["loss"]))
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        self._check_finite(losses["loss"], norm, batch)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.averaged.update(self.model, self.step)
        self.step += 1
        names = list(losses)
        means = place.mean(torch.stack([losses[name].detach().float() for name in names])).tolist()
        values = dict(zip(names, means, strict=True))
        return values | {"learning_rate": rate, "gradient_norm": float(norm)}

    def _check_finite(self, loss: Tensor, norm: Tensor, batch: Batch) -> None:
        """Stops before the weights become NaN; with fp16 the gradient scaler skips such steps instead."""
        finite = torch.isfinite(loss.detach()) & (torch.isfinite(norm) | self.scaler.is_enabled())
        if bool(finite):
            return
        path = self.out / f"failed_batch.rank{self.place.rank}.pt"
        write_checkpoint(path, {"step": self.step + 1, "batch": batch})
        raise DivergedError(
            f"loss {float(loss.detach()):.3g} with gradient norm {float(norm):.3g} at step {self.step + 1}: "
            "lower learning_rate, or resume from the last checkpoint with another precision; "
            f"{path} holds the batch"
        )

    def _report(self, logs: list[Log], values: dict[str, float], *, every: int) -> None:
        if self.step % every == 0:
            for log in logs:
                log.write(self.step, {f"train/{name}": value for name, value in values.items()})

    def _validate(self, bar: ProgressBar, logs: list[Log]) -> None:
        if self.place.leads:
            scores = self.training.validate(self.averaged.model)
            self.scores = {name: float(value) for name, value in scores.items()}
            score = self.scores[self.training.metric]
            if not math.isfinite(score):
                raise DivergedError(
                    f"step {self.step}: the score {self.training.metric} is {score}; check the validation data, "
                    "or lower learning_rate"
                )
            for log in logs:
                log.write(self.step, {f"val/{name}": value for name, value in self.scores.items()})
            metric = self.training.metric
            shown, best = (format_metric(metric, value) for value in (score, max(score, self.best)))
            bar.say(f"step {self.step}: {metric} {shown} (best {best})")
            if score > self.best:
                self.best = score
                self.training.save(self.averaged.model, self.out / "best.safetensors", self.scores)
        self.validated = True
        self.place.wait()

    def _save_checkpoint(self) -> None:
        if self.place.leads:
            write_checkpoint(
                self.out / CHECKPOINT_NAME,
                {
                    "step": self.step,
                    "best": self.best,
                    "scores": self.scores,
                    "validated": self.validated,
                    "options": self.plain_options,
                    "processes": self.place.size,
                    "model": self.model.state_dict(),
                    "averaged": self.averaged.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                },
            )
        self.place.wait()

    def _restore(self, state: dict[str, Any]) -> None:
        ours = self.plain_options
        theirs = to_plain(state["options"])
        # these change neither samples nor updates, apart from the order of sums on another device or thread count;
        # `steps` may differ because a training may be resumed to make it longer
        free = {"device", "threads", "validate_every", "checkpoint_every", "steps"}
        # a checkpoint that is older than an option was written with its default
        defaults = to_plain(dataclasses.asdict(type(self.options)()))
        changed = [key for key in ours if key not in free and ours[key] != theirs.get(key, defaults[key])]
        processes = state.get("processes", 1)
        if processes != self.place.size:
            changed.append(f"{processes} ranks, now {self.place.size}")
        if changed:
            raise CheckpointError(
                f"{self.out / CHECKPOINT_NAME}: written with other options ({', '.join(changed)}); "
                "resume with the same options, or train into another folder"
            )
        differences = list_differences(shapes_of(state["model"]), shapes_of(self.model.state_dict()))
        if differences:
            raise CheckpointError(
                f"{self.out / CHECKPOINT_NAME}: holds another model ({summarize(differences)}); resume with the "
                "data and classes that it was trained on, or train into another folder"
            )
        self.model.load_state_dict(state["model"])
        self.averaged.model.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.best, self.scores = state["step"], state["best"], state["scores"]
        self.validated = state.get("validated", True)


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
