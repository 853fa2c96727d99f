"""Tensors in files: safetensors with a header, written atomically, hashed by content, read without torch."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from densevit.core.errors import InputError
from densevit.core.files import write_atomically
from densevit.core.messages import first_line

ASSETS = Path(__file__).parents[1] / "assets"
"""The folder of bundled graphs and weights."""

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
"""Of checkpoints, in lower case; ask `has_weights_suffix`, which ignores case."""

_LARGEST_HALF = 65_504.0
_FOREIGN_TYPE = "holds bfloat16, float8 or other types that numpy lacks; save it as fp16 or fp32"
_RECENT_NS = 2 * 10**9

Tensors = Mapping[str, NDArray[np.generic]]


class WeightsError(InputError):
    """A weights file is missing, damaged or not what was asked for."""


def has_weights_suffix(path: Path) -> bool:
    """Whether a file is named as a checkpoint, in upper or lower case."""
    return path.suffix.lower() in WEIGHTS_SUFFIXES


def to_stored_precision(tensors: Tensors) -> dict[str, NDArray[np.generic]]:
    """The values as they are stored: fp16 for convolution and linear weights, fp32 for 1-D tensors.

    A weight beyond fp16's range stays fp32.
    """
    stored = {}
    for name, tensor in tensors.items():
        if np.issubdtype(tensor.dtype, np.floating):
            half = tensor.ndim > 1 and np.abs(tensor).max(initial=0) <= _LARGEST_HALF
            tensor = tensor.astype(np.float16 if half else np.float32)
        stored[name] = np.ascontiguousarray(tensor)
    return stored


def hash_tensors(tensors: Tensors) -> str:
    """SHA-256 over names, types, shapes and values, in order of name: the same for any container."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Tensors, *, metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file with the header entries of `metadata`.

    Raises:
        UnavailableError, InputError: as `write_atomically`.
    """
    # safetensors writes an array's memory as it is, whatever its strides say
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with write_atomically(path) as temporary:
        # not `save_file`, whose files only the owner may read
        temporary.write_bytes(save(contiguous, metadata=dict(metadata)))


def read_tensors(path: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """-> tensors and header entries of a safetensors file.

    Raises:
        WeightsError: no such file, or a damaged one.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: {_FOREIGN_TYPE} ({first_line(error)})") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({first_line(error)})") from error
    # where ml_dtypes is imported, numpy reads types that no later step can use
    if odd := [name for name, tensor in tensors.items() if tensor.dtype.kind not in "biuf"]:
        raise WeightsError(f"{path}: {_FOREIGN_TYPE} ({odd[0]} is {tensors[odd[0]].dtype})")
    return tensors, metadata


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes; read once per process as long as the file does not change.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        status = path.stat()
        identity = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        # a file this recent may change again within one tick of the clock that stamps it
        recent = time.time_ns() - status.st_mtime_ns < _RECENT_NS
        return _hash_bytes(*identity) if recent else _hash_bytes_once(*identity)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error


def _hash_bytes(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_hash_bytes_once = lru_cache(maxsize=64)(_hash_bytes)
