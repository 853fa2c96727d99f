"""Weights of any origin become a file in densevit's .safetensors format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from densevit.checkpoints.loading import load_network, read_weights
from densevit.checkpoints.opening import build_from_file
from densevit.checkpoints.state import save_own
from densevit.core.classes import ClassTable
from densevit.core.errors import UsageError
from densevit.core.files import make_folder
from densevit.core.manifest import Manifest
from densevit.zoo import Entry


def convert(source: Path, target: Path, *, entry: Entry | None, classes: ClassTable | None = None) -> Manifest:
    """Writes weights of any origin with a manifest in the header.

    Args:
        source: as for `open_network`.
        target: the `.safetensors` file; written whole or not at all.
        entry: the model of a foreign file, None where its tensors tell.
        classes: of weights with other classes than the published ones.

    Returns:
        The manifest that was written.

    Raises:
        UsageError: the target is not a `.safetensors` file, or the classes do not go with the model.
        WeightsError: as `open_network`.
        WeightsMismatchError: as `open_network`.
        InputError, UnavailableError: it cannot be written, see `write_atomically`.
    """
    if target.suffix.lower() != ".safetensors":
        raise UsageError(f"{target}: the converted file must end in .safetensors")
    manifest = None if entry is None else entry.manifest()
    file = read_weights(source)
    if classes is not None and file.manifest is not None:
        # the file has class names already: they are replaced, not its answers
        if len(classes.names) != len(file.manifest.class_names):
            raise UsageError(
                f"{len(classes.names)} class names given, {source} has {len(file.manifest.class_names)} classes"
            )
        file = replace(file, manifest=replace_classes(file.manifest, classes))
    if classes is not None:
        if manifest is None and file.manifest is None:
            raise UsageError("class names need the model's name too: give --model")
        manifest = None if manifest is None else replace_classes(manifest, classes)
    network, manifest = build_from_file(file, manifest)
    make_folder(target.parent)
    save_own(network, target, manifest)
    return load_network(target, None)[1]


def replace_classes(manifest: Manifest, classes: ClassTable) -> Manifest:
    """The same model with other classes, and with their colors if it draws any."""
    palette = classes.colors if manifest.palette else ()
    return replace(manifest, name=manifest.architecture, class_names=classes.names, palette=palette)
