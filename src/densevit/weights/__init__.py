"""Weights: tensors in files on this machine, and published files by name."""

from densevit.weights.files import (
    ASSETS,
    WEIGHTS_SUFFIXES,
    Tensors,
    WeightsError,
    has_weights_suffix,
    hash_file,
    hash_tensors,
    read_tensors,
    to_stored_precision,
    write_tensors,
)
from densevit.weights.hub import HubFile, fetch, is_cached

__all__ = [
    "ASSETS",
    "WEIGHTS_SUFFIXES",
    "HubFile",
    "Tensors",
    "WeightsError",
    "fetch",
    "has_weights_suffix",
    "hash_file",
    "hash_tensors",
    "is_cached",
    "read_tensors",
    "to_stored_precision",
    "write_tensors",
]
