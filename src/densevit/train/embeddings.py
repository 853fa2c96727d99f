"""A teacher's embeddings of images, cached on disk so that each image is embedded once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from densevit import imaging
from densevit.checkpoints.opening import open_network
from densevit.core.errors import InputError
from densevit.core.files import make_folder
from densevit.core.processes import read_launch
from densevit.models.build import PromptableModel
from densevit.runtimes.base import Precision
from densevit.runtimes.eager import EagerRuntime
from densevit.tasks.promptable import make_promptable_task
from densevit.variants.segment_anything import EMBEDDING_SHAPE
from densevit.weights import WeightsError, hash_file, hash_tensors, read_tensors, write_tensors

_FORMAT = "densevit-embedding-1"


class PromptableTeacher:
    """A promptable model whose embeddings another image encoder learns to reproduce.

    Args:
        path: weights file of any promptable model.
        device: device that it runs on.
        precision: numeric precision of the forward pass.

    Raises:
        WeightsError: the file cannot be read.
        InputError: it holds another kind of model.
    """

    def __init__(self, path: Path, *, device: str, precision: Precision = "fp32") -> None:
        network, manifest = open_network(path, None)
        if not isinstance(network, PromptableModel):
            raise InputError(f"{path}: the teacher must be a promptable model, got {manifest.architecture}")
        self.network = network
        self._task = make_promptable_task(manifest)
        self._runtime = EagerRuntime(network, manifest, device=device, precision=precision)
        preprocessing = (manifest.mean, manifest.std, manifest.size, manifest.resize, manifest.multiple)
        self.identity = f"{hash_file(path)} {preprocessing} {self._runtime.precision}"
        """Weights, preprocessing and precision: everything but the image that determines an embedding."""

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, 3) uint8 RGB -> (256, 64, 64); the image lies in the upper left of the teacher's square input."""
        tensors, placement = self._task.preprocess(image)
        return self._task.postprocess(self._runtime.run("encode_image", tensors), placement).embedding


class EmbeddingCache:
    """Embeddings in fp16, one file per image, named by a hash of the image's content and the teacher's identity.

    A missing or damaged file is written again.

    Args:
        folder: folder of the files, created if missing; an image needs 2 MiB.
        teacher: computes the missing embeddings.
    """

    def __init__(self, folder: Path, teacher: PromptableTeacher) -> None:
        make_folder(folder)
        self._folder = folder
        self._teacher = teacher

    def fill(self, samples: Sequence[tuple[Path, bool]]) -> None:
        """Computes the missing embeddings with a progress bar; each rank takes its share.

        Args:
            samples: (path, mirrored) of each image.

        Raises:
            ImageError: an image cannot be read.
        """
        launch = read_launch()
        rank = launch.rank
        missing = [sample for sample in samples[rank :: launch.size] if self._read(self._locate(*sample)) is None]
        for path, mirrored in track(
            missing, "teacher", console=Console(stderr=True), disable=rank != 0 or not missing
        ):
            self(path, mirrored)

    def __call__(self, path: Path, mirrored: bool) -> NDArray[np.float16]:
        """The teacher's embedding of an image or of its mirror image, (256, 64, 64).

        Raises:
            ImageError: the image cannot be read.
            InputError: a value of the embedding is too large for fp16.
        """
        file = self._locate(path, mirrored)
        kept = self._read(file)
        if kept is not None:
            return kept
        image = imaging.read(path)
        embedding = self._teacher(image[:, ::-1].copy() if mirrored else image)
        largest = np.abs(embedding).max()
        if not largest <= np.finfo(np.float16).max:
            raise InputError(f"{path}: the teacher's embedding reaches {largest:.3g}, beyond fp16")
        half = embedding.astype(np.float16)
        tensors = {"embedding": half}
        write_tensors(file, tensors, metadata={_FORMAT: hash_tensors(tensors)})
        return half

    def _locate(self, path: Path, mirrored: bool) -> Path:
        key = f"{_FORMAT} {self._teacher.identity} {hash_file(path)} {mirrored}"
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.safetensors"

    def _read(self, file: Path) -> NDArray[np.float16] | None:
        """The cached embedding; None if the file is missing, damaged or was written by something else."""
        try:
            tensors, metadata = read_tensors(file)
        except WeightsError:
            return None
        embedding = tensors.get("embedding")
        if embedding is None or embedding.shape != EMBEDDING_SHAPE or embedding.dtype != np.float16:
            return None
        return embedding.astype(np.float16, copy=False) if metadata.get(_FORMAT) == hash_tensors(tensors) else None
