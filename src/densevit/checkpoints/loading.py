"""Reads a weights file and builds its network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from densevit.checkpoints.names import strip_wrapper, to_own_names
from densevit.checkpoints.state import load_state, read_pickled
from densevit.core.errors import UsageError
from densevit.core.manifest import METADATA_KEY, Manifest, describe_mismatch, match_manifest
from densevit.models.build import Network, build
from densevit.variants import find_architecture, with_ablations
from densevit.weights import WEIGHTS_SUFFIXES, WeightsError, hash_tensors, read_tensors


@dataclass(frozen=True)
class WeightsFile:
    """The content of a file.

    Attributes:
        path: of the file.
        tensors: by the file's names.
        manifest: from the header; None for foreign files, which have none.
    """

    path: Path
    tensors: dict[str, Tensor]
    manifest: Manifest | None


def read_weights(path: Path) -> WeightsFile:
    """Reads a file of any origin without running code from it.

    Args:
        path: `.safetensors` (densevit's or foreign), `.pt`, `.pth` or `.bin`.

    Raises:
        WeightsError: missing, damaged or unsafe.
    """
    suffix = path.suffix.lower()
    if suffix not in WEIGHTS_SUFFIXES:
        raise WeightsError(f"{path}: not a weights file; its suffix must be one of {', '.join(WEIGHTS_SUFFIXES)}")
    if suffix != ".safetensors":
        return WeightsFile(path, strip_wrapper(read_pickled(path)), None)
    arrays, metadata = read_tensors(path)
    manifest = None
    if METADATA_KEY in metadata:
        manifest = Manifest.from_json(metadata[METADATA_KEY], source=str(path))
        if manifest.weights_sha256 != hash_tensors(arrays):
            raise WeightsError(
                f"{path}: its tensors do not match its header (SHA-256 differs); fetch the file again"
            )
    return WeightsFile(path, {name: torch.from_numpy(array).float() for name, array in arrays.items()}, manifest)


def resolve_manifest(file: WeightsFile, asked: Manifest | None) -> Manifest | None:
    """The manifest of a file's tensors: its own, or else the one asked for; None where there is neither.

    Raises:
        WeightsError: the header describes another model than was asked for.
    """
    if file.manifest is None or asked is None:
        return file.manifest or asked
    if (manifest := match_manifest(file.manifest, asked)) is None:
        raise WeightsError(describe_mismatch(file.path, file.manifest, asked))
    return manifest


def build_network(file: WeightsFile, manifest: Manifest) -> tuple[Network, Manifest]:
    """The network that a manifest describes, with the tensors of a file.

    Returns:
        The model in inference mode, fp32, on the CPU, and its manifest.

    Raises:
        WeightsError: the architecture in the manifest is unknown.
        WeightsMismatchError: not the tensors of this model.
    """
    try:
        table = with_ablations(
            find_architecture(manifest.architecture),
            multi_scale=manifest.multi_scale,
            global_attention=manifest.global_attention,
        )
    except UsageError as error:
        raise WeightsError(f"{file.path}: {error}; update densevit") from error
    classes = len(manifest.class_names) or None
    network = build(table, classes=classes, in_channels=len(manifest.mean))
    state = to_own_names(file.tensors, network.state_dict(), table)
    load_state(network, state, source=str(file.path))
    return network.eval(), replace(manifest, weights_precision="fp32" if file.manifest is None else "fp16")


def load_network(path: Path, manifest: Manifest | None) -> tuple[Network, Manifest]:
    """Reads a file and builds the model that it belongs to.

    Args:
        path: as `read_weights`.
        manifest: of foreign weights, which have none; a file's own header wins, and must then name the same
            architecture.

    Returns:
        As `build_network`.

    Raises:
        WeightsError: missing, damaged, unsafe, or foreign without a manifest.
        WeightsMismatchError: not the tensors of this model.
    """
    file = read_weights(path)
    chosen = resolve_manifest(file, manifest)
    if chosen is None:
        raise WeightsError(
            f"{path}: does not say which model it holds; name the model, as in load(NAME, weights={str(path)!r})"
        )
    return build_network(file, chosen)
