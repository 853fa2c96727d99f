"""`densevit eval`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

from densevit.cli.flags import Flag, make_verb
from densevit.cli.options import Json, load_model
from densevit.cli.progress import progress_bar
from densevit.core.errors import InputError, UsageError
from densevit.core.packages import require_torch
from densevit.core.processes import Processes, SingleProcess, read_launch
from densevit.data.checking import check_samples
from densevit.data.detections import read_detections
from densevit.data.table import DATA, KINDS, open_data, parse_kind
from densevit.evaluate import Evaluation
from densevit.evaluate import evaluate as evaluate_model
from densevit.evaluate.promptable import Prompt
from densevit.metrics import find_metric_format, format_metric
from densevit.predict.loading import LoadedModel
from densevit.runtimes.options import LoadOptions
from densevit.runtimes.table import is_model_file
from densevit.zoo import UnknownModelError, find_model

_TASK_OF_OPTION = {
    "--class-map": "segmentation",
    "--prompt": "promptable",
    "--clicks": "promptable",
    "--boxes": "promptable",
}
_VAL_IMAGES = {"coco": 5000, "cityscapes": 500, "ade20k": 2000, "imagenet": 50_000}


@make_verb
def evaluate(
    model: Annotated[str, "A model's name, or an ONNX or weights file."],
    *,
    data: Annotated[str, f"KIND:PATH; kinds: {', '.join(DATA)}.", Flag(metavar="KIND:PATH")],
    split: Annotated[str, "Part of the data set."] = "val",
    class_map: Annotated[
        Path | None, "Segmentation: JSON list, the data's class for each class of the model."
    ] = None,
    prompt: Annotated[str | None, "Promptable models: box (the default) or point."] = None,
    clicks: Annotated[int | None, "With --prompt point: clicks per object (1), each on the largest error."] = None,
    boxes: Annotated[
        Path | None, "Promptable models: a detector's boxes (COCO results JSON); measures average precision."
    ] = None,
    as_json: Json = False,
    load: LoadOptions = LoadOptions(precision="fp32"),  # noqa: B008 - frozen
) -> None:
    """Measure a model's scores on a data set.

    Computes in fp32 by default. Started with torchrun, several processes share the data and give the same scores.
    """
    every = {"--class-map": class_map, "--prompt": prompt, "--clicks": clicks, "--boxes": boxes}
    given = {name: value for name, value in every.items() if value is not None}
    mapping = None if class_map is None else _read_class_map(class_map)
    found = None if boxes is None else read_detections(boxes)
    kind = parse_kind(data)
    if not is_model_file(model):
        # before anything is downloaded
        _check_task(data, kind, given, find_model(model).name, find_model(model).task)
    with _join_processes() as processes:
        samples = open_data(data, split)
        check_samples(samples)
        loaded = load_model(model, load)
        manifest = loaded.manifest
        _check_task(data, kind, given, manifest.name, manifest.task)
        steps = len(range(0, len(samples), processes.size)) if processes.rank == 0 else 0
        with progress_bar("eval", steps) as advance:
            evaluation = evaluate_model(
                loaded,
                samples,
                class_map=mapping,
                prompt=cast("Prompt", prompt or "box"),
                clicks=1 if clicks is None else clicks,
                boxes=found,
                progress=lambda done, total: advance(),
                processes=processes,
            )
    if processes.rank != 0:
        return
    is_published_protocol = prompt in (None, "box") and boxes is None
    report = {
        "model": manifest.name,
        "data": data,
        "split": split,
        "runtime": loaded.runtime.name,
        "precision": loaded.runtime.precision,
        "size": str(loaded.task.size),
        "images": evaluation.images,
        "metrics": evaluation.metrics,
        "published": _find_published(loaded, kind, split, evaluation) if is_published_protocol else None,
        "seconds": round(evaluation.seconds, 2),
    }
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print_report(report)


def _check_task(data: str, kind: str, given: Mapping[str, object], model: str, task: str) -> None:
    """Refuses data and options that do not fit; to ignore them would give scores that were not asked for."""
    kinds = KINDS.get(task, ())
    if kind not in kinds:
        raise UsageError(
            f"{data}: kind {kind} does not fit {model}, whose task is {task}; kinds that fit: {', '.join(kinds)}"
        )
    if wrong := [option for option in given if _TASK_OF_OPTION[option] != task]:
        name = wrong[0]
        raise UsageError(
            f"{name} is for {_TASK_OF_OPTION[name]} models; the task of {model} is {task}, leave {name} out"
        )
    if "--clicks" in given and given.get("--prompt") != "point":
        raise UsageError("--clicks needs --prompt point")
    if "--boxes" in given and "--prompt" in given:
        raise UsageError("--boxes are the prompts; leave --prompt out")


@contextmanager
def _join_processes() -> Iterator[Processes]:
    """All processes that torchrun started, or this one alone."""
    if read_launch().size <= 1:
        yield SingleProcess()
        return
    require_torch("an evaluation by several processes")
    from densevit.core.torch_processes import join_processes

    with join_processes() as processes:
        yield processes


def _find_published(model: LoadedModel, kind: str, split: str, evaluation: Evaluation) -> dict[str, Any] | None:
    """The published figures for the measured scores, and "but_on": the conditions in which they differ.

    None if nothing was published for this data.
    """
    manifest = model.manifest
    try:
        entry = find_model(manifest.name)
    except UnknownModelError:
        return None
    # promptable models have no classes; their published figures are for the boxes of COCO
    measured_on = "coco" if entry.task == "promptable" else entry.data_set
    if measured_on != kind or entry.classes.names != manifest.class_names or split not in ("val", "validation"):
        return None
    figures = {name: entry.published[name] for name in evaluation.metrics if name in entry.published}
    if not figures:
        return None
    differs = []
    if str(model.task.size) != manifest.published_size:
        differs.append(f"--size published ({manifest.published_size})")
    if evaluation.images != _VAL_IMAGES.get(kind, evaluation.images):
        differs.append(f"all {_VAL_IMAGES[kind]:,} images")
    return {**figures, "but_on": differs}


def _print_report(report: dict[str, Any]) -> None:
    metrics = dict(report["metrics"])
    _print_classes(metrics.pop("iou_per_class", {}))
    published = report["published"] or {}
    for name, value in metrics.items():
        beside = ""
        if name in published and value is not None:
            beside = f"   published {format_metric(name, published[name])}"
            if published["but_on"]:
                beside += f" (on {', '.join(published['but_on'])})"
        _print_score(find_metric_format(name).title, format_metric(name, value) + beside)
    print(
        f"{report['model']} on {report['data']} {report['split']}: {report['images']} images at "
        f"{report['size']}, {report['runtime']} {report['precision']}, {report['seconds']:.1f} s"
    )


def _print_classes(scores: dict[str, float | None]) -> None:
    """Best first; a class that occurs neither in the labels nor in the predictions does not count in the mean."""
    for name, value in sorted(scores.items(), key=lambda row: -1.0 if row[1] is None else row[1], reverse=True):
        _print_score(name, format_metric("miou", value))


def _print_score(title: str, score: str) -> None:
    # decimal points in one column, for up to "100.00"
    number, point, rest = score.partition(".")
    print(f"{title:>20}  {number:>3}{point}{rest}" if point else f"{title:>20}  {score}")


def _read_class_map(path: Path) -> list[int]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a class map ({error})") from error
    if isinstance(entries, dict):
        entries = entries.get("map")
    if not isinstance(entries, list):
        raise InputError(f"{path}: a class map must be a JSON list of integers, one per class of the model")
    return entries
