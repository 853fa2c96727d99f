"""A weights file of any origin becomes a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from densevit.manifest import METADATA_KEY, Manifest
from densevit.models.build import DenseModel, build_segmentation, segmentation_table
from densevit.models.checkpoints import from_official, is_official, load_state, read_pickled
from densevit.weights import WeightsError, hash_tensors, read_tensors


def load_network(path: Path, manifest: Manifest | None) -> tuple[DenseModel, Manifest]:
    """Reads a file and builds the model that it belongs to.

    Args:
        path: `.safetensors` (own or foreign), `.pt`, `.pth` or `.bin`.
        manifest: what foreign weights are, which do not say it themselves; an own file's header wins, and
            must then name the same architecture.

    Returns:
        The model in inference mode, fp32, on the CPU, and its manifest.

    Raises:
        WeightsError: missing, damaged, unsafe, or foreign without a manifest.
        WeightsMismatchError: not the tensors of this model.
    """
    state, own = _read(path)
    if own is not None:
        if manifest is not None and own.architecture != manifest.architecture:
            raise WeightsError(f"{path}: holds {own.architecture} weights, {manifest.architecture} was asked for")
        manifest = own
    if manifest is None:
        raise WeightsError(
            f"{path}: does not say what model it is; name it, as in load(NAME, weights={str(path)!r})"
        )
    table = segmentation_table(manifest.architecture)
    network = build_segmentation(table, classes=len(manifest.class_names), in_channels=len(manifest.mean))
    if is_official(state):
        state = from_official(state, network, table)
    load_state(network, state, source=str(path))
    return network.eval(), replace(manifest, weights_precision="fp32" if own is None else "fp16")


def _read(path: Path) -> tuple[dict[str, Tensor], Manifest | None]:
    """Tensors, and the manifest of an own file; an own file's tensors are those that its manifest names."""
    if path.suffix != ".safetensors":
        return read_pickled(path), None
    arrays, metadata = read_tensors(path)
    own = None
    if METADATA_KEY in metadata:
        own = Manifest.from_json(metadata[METADATA_KEY], source=str(path))
        if own.weights_sha256 != hash_tensors(arrays):
            raise WeightsError(
                f"{path}: its tensors are not those of its header (SHA-256 differs); fetch it again"
            )
    return {name: torch.from_numpy(array).float() for name, array in arrays.items()}, own
