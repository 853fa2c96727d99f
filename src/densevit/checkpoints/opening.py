"""A weights file of any origin becomes a model: named by the caller, by its header, or by its tensors."""

from __future__ import annotations

from pathlib import Path

from densevit.checkpoints.loading import WeightsFile, build_network, read_weights, resolve_manifest
from densevit.checkpoints.recognition import Recognition, find_nearest, recognize
from densevit.checkpoints.state import WeightsMismatchError, summarize
from densevit.core.manifest import Manifest
from densevit.models.build import Network
from densevit.weights import WeightsError
from densevit.zoo import Entry, find_published, parse_resolutions

_UNKNOWN = "no known model has such tensors"


def open_network(path: Path, manifest: Manifest | None) -> tuple[Network, Manifest]:
    """Reads a file and builds its network.

    Args:
        path: `.safetensors`, `.pt`, `.pth` or `.bin`; densevit's, official or timm's.
        manifest: of the model that was asked for; None where a foreign file's tensors must tell.

    Returns:
        As `build_network`.

    Raises:
        WeightsError: missing, damaged, unsafe, of another model than was asked for, or unknown.
        WeightsMismatchError: not the tensors of the model that was asked for; the message names the right one.
    """
    return build_from_file(read_weights(path), manifest)


def build_from_file(file: WeightsFile, manifest: Manifest | None) -> tuple[Network, Manifest]:
    """As `open_network`, for a file that has been read."""
    chosen = resolve_manifest(file, manifest) or find_published_manifest(file)
    try:
        return build_network(file, chosen)
    except WeightsMismatchError as error:
        match = recognize(file.tensors)
        found = _UNKNOWN if match is None else _describe(match)
        raise WeightsMismatchError(f"{error}; {chosen.name} was asked for, {found}") from error


def identify_manifest(path: Path) -> Manifest:
    """The manifest of a weights file, from its header or from its tensors.

    Raises:
        WeightsError: missing, damaged, unsafe, or foreign and unknown.
    """
    file = read_weights(path)
    return file.manifest or find_published_manifest(file)


def find_published_manifest(file: WeightsFile) -> Manifest:
    """The manifest of the published model whose tensors a foreign file holds.

    Weights for several resolutions have the same shapes; then the file's name decides, by its `r224` and so on.

    Raises:
        WeightsError: no published model has such tensors, or several have and the file's name does not decide.
    """
    match = recognize(file.tensors)
    if match is None:
        raise WeightsError(f"{file.path}: {_describe_nearest(file)}")
    entries = _find_entries(match)
    if len(entries) > 1:
        sides = parse_resolutions(file.path.stem)
        entries = [entry for entry in entries if entry.resolution[0] in sides]
    if len(entries) != 1:
        raise WeightsError(
            f"{file.path}: does not say which model it holds, {_describe(match)}; name the model: "
            f"--model NAME --weights FILE, or load(NAME, weights={str(file.path)!r})"
        )
    return entries[0].manifest()


def _find_entries(match: Recognition) -> list[Entry]:
    return find_published(match.architecture, match.classes) if match.in_channels == 3 else []


def _describe(match: Recognition) -> str:
    """The models that have such tensors, for an error."""
    if entries := _find_entries(match):
        return f"its tensors are those of {' or '.join(entry.name for entry in entries)}"
    classes = f" with {match.classes} classes" if match.classes else ""
    channels = "" if match.in_channels == 3 else f" and images of {match.in_channels} channels"
    convertible = classes and match.in_channels == 3
    remedy = "; densevit convert --model NAME --classes FILE names its classes" if convertible else ""
    return (
        f"its tensors are those of {match.architecture}{classes}{channels}, which no published model has{remedy}"
    )


def _describe_nearest(file: WeightsFile) -> str:
    nearest = find_nearest(file.tensors)
    if nearest is None:
        return _UNKNOWN
    name, problems = nearest
    return f"{_UNKNOWN}; {name} is the nearest, but {summarize(problems)}"
