"""Scores of a model on a data set, through any runtime and by the very steps that predict.

Several processes may share a data set: process r of n takes the samples r, r + n, r + 2 n, ...; what they sum
are counts, so that the scores are those of one process to the last bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from densevit.classes import class_table, imagenet_wnids
from densevit.data.base import AnyData, ClassificationData, HighResolutionData, SegmentationData
from densevit.data.table import KINDS
from densevit.imaging import Photo, Placement
from densevit.manifest import Manifest
from densevit.metrics import ClassificationScore, SegmentationScore, SuperResolutionScore
from densevit.peers import Alone, Peers
from densevit.runtimes.base import Runtime
from densevit.tasks.base import Arrays
from densevit.tasks.classification import Classification
from densevit.tasks.segmentation import Segmentation
from densevit.tasks.super_resolution import SuperResolution, cropped_to_multiple, shrunk

ALONE = Alone()
Progress = Callable[[int, int], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Evaluation:
    """What was measured: metrics by name, over so many pictures, in so many seconds."""

    metrics: dict[str, Any]
    images: int
    seconds: float


class Evaluable(Protocol):
    """A loaded model: `densevit.model.Model` is one."""

    @property
    def manifest(self) -> Manifest:
        """What the model says of itself."""
        ...

    @property
    def task(self) -> Any:
        """Its numpy side, of the kind that the manifest names."""
        ...

    @property
    def runtime(self) -> Runtime:
        """Runs it."""
        ...


def evaluate(
    model: Evaluable,
    data: AnyData,
    *,
    class_map: Sequence[int] | None = None,
    progress: Progress = lambda done, total: None,
    peers: Peers = ALONE,
) -> Evaluation:
    """The scores of the model's task.

    Args:
        model: segments, classifies or enlarges.
        data: of the same task.
        class_map: as `evaluate_segmentation` says.
        progress: called with (pictures done, pictures in all) of this process.
        peers: the processes that share the data.

    Raises:
        ValueError: data of another task, or what the task's evaluation says.
    """
    name, task = model.manifest.name, model.manifest.task
    if task not in KINDS:
        raise ValueError(f"{name}: there is no evaluation of task {task} yet; of {', '.join(KINDS)} there is")
    labelled = hasattr(data, "class_names")
    if isinstance(data, SegmentationData) != (task == "segmentation") or labelled == (task == "super_resolution"):
        raise ValueError(f"{name}: its task is {task}, these data are of another; kinds that fit: {fitting(task)}")
    if isinstance(data, SegmentationData):
        return evaluate_segmentation(
            model.task, model.runtime, data, class_map=class_map, progress=progress, peers=peers
        )
    if class_map is not None:
        raise ValueError(f"{name}: a class map is for segmentation; leave it out")
    if task == "super_resolution":
        pictures = cast("HighResolutionData", data)
        return evaluate_super_resolution(model.task, model.runtime, pictures, progress=progress, peers=peers)
    answers = cast("ClassificationData", data)
    return evaluate_classification(model.task, model.runtime, answers, progress=progress, peers=peers)


def fitting(task: str) -> str:
    """The kinds of data for a task, as text for messages."""
    return ", ".join(KINDS.get(task, ())) or "none"


def evaluate_segmentation(
    task: Segmentation,
    runtime: Runtime,
    data: SegmentationData,
    *,
    class_map: Sequence[int] | None = None,
    progress: Progress = lambda done, total: None,
    peers: Peers = ALONE,
) -> Evaluation:
    """Mean IoU and pixel accuracy in percent.

    Args:
        task: of the model.
        runtime: of the model.
        data: pictures with labels.
        class_map: the data set's class of each of the model's classes, where they differ; -1 for none, which
            counts as wrong wherever the truth is known.
        progress: called with (pictures done, pictures in all) of this process.
        peers: the processes that share the data.

    Raises:
        ValueError: the classes of model and data differ and no class map bridges them, or no pixel is labelled.
        PeersLostError: another process ended.
    """
    mapping = _class_map(task, data, class_map)
    score = SegmentationScore(data.class_names)
    start = time.perf_counter()

    def prepared(index: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]], Placement]:
        sample = data[index]
        return sample.labels, *task.preprocess(sample.picture)

    share = range(peers.rank, len(data), peers.size)
    for done, (labels, tensors, placement) in enumerate(_ahead(prepared, share), start=1):
        result = task.postprocess(runtime.run("forward", tensors), placement)
        score.update(mapping[result.labels], labels)
        progress(done, len(share))
    score.confusion = peers.sum(score.state())
    if not score.confusion.any():
        raise ValueError("no pixel of this data has a known label; is it the right data and split?")
    return Evaluation(score.compute(), len(data), time.perf_counter() - start)


def evaluate_classification(
    task: Classification,
    runtime: Runtime,
    data: ClassificationData,
    *,
    progress: Progress = lambda done, total: None,
    peers: Peers = ALONE,
) -> Evaluation:
    """Top-1 and top-5 accuracy in percent.

    Args:
        task: of the model.
        runtime: of the model.
        data: pictures with one class each.
        progress: called with (pictures done, pictures in all) of this process.
        peers: the processes that share the data.

    Raises:
        ValueError: the classes of model and data differ, or there is no picture.
        PeersLostError: another process ended.
    """
    classes = _model_classes(task.class_names, data.class_names)
    score = ClassificationScore(len(task.class_names))
    start = time.perf_counter()

    def prepared(index: int) -> tuple[int, dict[str, NDArray[Any]], Placement]:
        sample = data[index]
        return sample.label, *task.preprocess(sample.picture)

    share = range(peers.rank, len(data), peers.size)
    for done, (label, tensors, placement) in enumerate(_ahead(prepared, share), start=1):
        answer = task.postprocess(runtime.run("forward", tensors), placement)
        score.update(answer.logits, classes[label])
        progress(done, len(share))
    score.counts = peers.sum(score.state())
    if not len(data):
        raise ValueError("this data holds no picture; is it the right folder and split?")
    return Evaluation(score.compute(), len(data), time.perf_counter() - start)


def evaluate_super_resolution(
    task: SuperResolution,
    runtime: Runtime,
    data: HighResolutionData,
    *,
    progress: Progress = lambda done, total: None,
    peers: Peers = ALONE,
) -> Evaluation:
    """PSNR in dB and SSIM in 0..1 on Y, as many pixels of the border left out as the scale is.

    The low resolution is what MATLAB's antialiased bicubic makes of the pictures, cropped to a multiple of the
    scale first.

    Args:
        task: of the model.
        runtime: of the model.
        data: high-resolution pictures.
        progress: called with (pictures done, pictures in all) of this process.
        peers: the processes that share the data.

    Raises:
        ValueError: a picture too small to be scored, or there is none.
        PeersLostError: another process ended.
    """
    score = SuperResolutionScore(border_px=task.scale)
    start = time.perf_counter()

    def prepared(index: int) -> tuple[NDArray[np.uint8], Photo]:
        high = cropped_to_multiple(data[index].picture, task.scale)
        return high, Photo(shrunk(high, task.scale))

    def run(tensors: Arrays) -> Arrays:
        return runtime.run("forward", tensors)

    share = range(peers.rank, len(data), peers.size)
    for done, (high, low) in enumerate(_ahead(prepared, share), start=1):
        score.update(task.answer(low, run).image.astype(np.uint8, copy=False), high)
        progress(done, len(share))
    score.sums = peers.sum(score.state())
    if not len(data):
        raise ValueError("this data holds no picture; is it the right folder and split?")
    return Evaluation(score.compute(), len(data), time.perf_counter() - start)


def _ahead(prepare: Callable[[int], Item], indices: Iterable[int]) -> Iterator[Item]:
    """What `prepare` gives for each index, in order; the next is prepared while one is worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="densevit-read") as reader:
        coming = None
        for index in indices:
            current, coming = coming, reader.submit(prepare, index)
            if current is not None:
                yield current.result()
        if coming is not None:
            yield coming.result()


def _class_map(task: Segmentation, data: SegmentationData, given: Sequence[int] | None) -> NDArray[np.int64]:
    if given is None:
        if task.class_names != data.class_names:
            raise ValueError(
                f"the model knows {len(task.class_names)} classes ({', '.join(task.class_names[:3])} ...), "
                f"the data {len(data.class_names)} ({', '.join(data.class_names[:3])} ...); pass a class map"
            )
        given = range(len(task.class_names))
    if len(given) != len(task.class_names):
        raise ValueError(f"the class map has {len(given)} entries, the model {len(task.class_names)} classes")
    if any(type(entry) is not int or not -1 <= entry < len(data.class_names) for entry in given):
        raise ValueError(f"the class map's entries must be integers in -1..{len(data.class_names) - 1}")
    return np.array(given, np.int64)


def _model_classes(model: tuple[str, ...], data: tuple[str, ...]) -> list[int]:
    """The model's class of each of the data's: by name, or by WordNet identifier if it knows ImageNet's."""
    names = [model]
    if model == class_table("imagenet").names:
        names.append(imagenet_wnids())
    for known in names:
        index = {name: number for number, name in enumerate(known)}
        if all(name in index for name in data):
            return [index[name] for name in data]
    raise ValueError(
        f"the model knows {len(model)} classes ({', '.join(model[:3])} ...), the data {len(data)} "
        f"({', '.join(data[:3])} ...); the names must agree, or be ImageNet's WordNet identifiers"
    )
