"""A weights file of any origin becomes a model of the zoo: named by the caller, by itself, or by its tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from densevit.checkpoints.loading import WeightsFile, build_network, load_network, read_weights, resolve_manifest
from densevit.checkpoints.recognition import Recognition, find_nearest, recognize
from densevit.checkpoints.state import WeightsMismatchError, save_own, summarize
from densevit.core.classes import ClassTable
from densevit.core.manifest import Manifest
from densevit.models.build import Network
from densevit.weights import WeightsError
from densevit.zoo import Entry, find_published, parse_resolutions


def open_network(path: Path, manifest: Manifest | None) -> tuple[Network, Manifest]:
    """The network in a file, and what it is.

    Args:
        path: `.safetensors`, `.pt`, `.pth` or `.bin`; own, official or timm's.
        manifest: what a foreign file was said to be; None where it was not, and its tensors must tell.

    Raises:
        WeightsError: missing, damaged, unsafe, of another model than was named, or not to be told.
        WeightsMismatchError: not the tensors of the model that was named; says which model has such.
    """
    return build_from_file(read_weights(path), manifest)


def build_from_file(file: WeightsFile, manifest: Manifest | None) -> tuple[Network, Manifest]:
    """As `open_network`, for a file that has been read."""
    chosen = resolve_manifest(file, manifest) or find_published_manifest(file)
    try:
        return build_network(file, chosen)
    except WeightsMismatchError as error:
        fitting = recognize(file.tensors)
        said = "no model that is known here has such tensors" if fitting is None else _said(fitting)
        raise WeightsMismatchError(f"{error}; asked for was {chosen.name}, {said}") from error


def identify_manifest(path: Path) -> Manifest:
    """What a weights file is, by its header or by its tensors.

    Raises:
        WeightsError: missing, damaged, unsafe, or foreign and not to be told.
    """
    file = read_weights(path)
    return file.manifest or find_published_manifest(file)


def find_published_manifest(file: WeightsFile) -> Manifest:
    """The manifest of the published model whose tensors a foreign file holds.

    Weights for several resolutions have the same shapes; then the file's name decides, by its `r224` and so on.

    Raises:
        WeightsError: no published model has such tensors, or several have and the file's name does not tell.
    """
    fitting = recognize(file.tensors)
    if fitting is None:
        raise WeightsError(f"{file.path}: {_nearly(file)}")
    entries = _entries(fitting)
    if len(entries) > 1:
        sides = parse_resolutions(file.path.stem)
        entries = [entry for entry in entries if entry.resolution[0] in sides]
    if len(entries) != 1:
        raise WeightsError(
            f"{file.path}: does not say what model it is, {_said(fitting)}; name it: --model NAME --weights FILE, "
            f"or load(NAME, weights={str(file.path)!r})"
        )
    return entries[0].manifest()


def _entries(fitting: Recognition) -> list[Entry]:
    return find_published(fitting.architecture, fitting.classes) if fitting.in_channels == 3 else []


def _said(fitting: Recognition) -> str:
    """What such tensors fit, for an error."""
    if entries := _entries(fitting):
        return f"these fit {' or '.join(entry.name for entry in entries)}"
    classes = f" with {fitting.classes} classes" if fitting.classes else ""
    channels = "" if fitting.in_channels == 3 else f" and images of {fitting.in_channels} channels"
    convertible = classes and fitting.in_channels == 3
    remedy = "; densevit convert --model NAME --classes FILE gives them their own names" if convertible else ""
    return f"these fit {fitting.architecture}{classes}{channels}, which no published model has{remedy}"


def _nearly(file: WeightsFile) -> str:
    near = find_nearest(file.tensors)
    if near is None:
        return "no model that is known here has such tensors"
    name, problems = near
    return f"no model that is known here has such tensors; find_nearest is {name}, but {summarize(problems)}"


def convert(source: Path, target: Path, *, entry: Entry | None, classes: ClassTable | None = None) -> Manifest:
    """Writes weights of any origin as an own file, which says itself what it is.

    Args:
        source: as `open_network`.
        target: the `.safetensors` file; written whole or not at all.
        entry: the model that a foreign file is of, None where its tensors tell.
        classes: of weights with other classes than the published ones.

    Returns:
        The manifest that was written.

    Raises:
        ValueError: the target is no `.safetensors` file, or as `open_network`.
        OSError: it cannot be written.
    """
    if target.suffix != ".safetensors":
        raise ValueError(f"{target}: own weights files end in .safetensors")
    manifest = None if entry is None else entry.manifest()
    file = read_weights(source)
    if classes is not None and file.manifest is not None:
        # an own file, which has names of its own: they are replaced, not its answers
        if len(classes.names) != len(file.manifest.class_names):
            raise ValueError(
                f"{len(classes.names)} class names given, {source} has {len(file.manifest.class_names)} classes"
            )
        file = replace(file, manifest=replace_classes(file.manifest, classes))
    if classes is not None:
        if manifest is None and file.manifest is None:
            raise ValueError("class names need the model's name too: give --model")
        manifest = None if manifest is None else replace_classes(manifest, classes)
    network, manifest = build_from_file(file, manifest)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_own(network, target, manifest)
    return load_network(target, None)[1]


def replace_classes(manifest: Manifest, classes: ClassTable) -> Manifest:
    """The same model with other classes, and with their colors if it draws any."""
    palette = classes.colors if manifest.palette else ()
    return replace(manifest, name=manifest.architecture, class_names=classes.names, palette=palette)
