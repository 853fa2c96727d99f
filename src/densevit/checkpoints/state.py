"""Tensors in and out: strict loading, reading without running code, writing densevit's .safetensors format."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from densevit.core.errors import InputError
from densevit.core.manifest import METADATA_KEY, Manifest
from densevit.core.messages import first_line
from densevit.weights import WeightsError, hash_tensors, to_stored_precision, write_tensors


def is_counter(name: str) -> bool:
    """Whether a tensor is BatchNorm's counter of batches, which does not matter to the model."""
    return name.endswith(".num_batches_tracked")


class WeightsMismatchError(InputError):
    """The file's tensors are not those of the model; the message names the first that differ."""


def load_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Loads tensors under our names, all of the model's and no others; BatchNorm's batch counters do not matter.

    Args:
        model: takes the values, in its own types.
        state: tensors by our names.
        source: the file's name, for the error.

    Raises:
        WeightsMismatchError: missing, unexpected or differently shaped tensors.
        WeightsError: infinite values or NaN.
    """
    state = {name: tensor for name, tensor in state.items() if not is_counter(name)}
    if problems := list_differences(shapes_of(state), shapes_of(model.state_dict())):
        raise WeightsMismatchError(f"{source}: these are not this model's weights: {summarize(problems)}")
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{source}: {name} holds infinite values or NaN; the file is damaged")
    model.load_state_dict(state, strict=False)


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name, counters of batches left out."""
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not is_counter(name)}


def list_differences(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Differences between the tensors found and those a model expects, a phrase each."""
    missing = [f"{name} is missing" for name in expected if name not in found]
    unexpected = [f"{name} is unexpected" for name in found if name not in expected]
    shaped = [
        f"{name} is {found[name]}, the model's is {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    return missing + unexpected + shaped


def summarize(problems: list[str]) -> str:
    """The first three, and the number of the others."""
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return f"{'; '.join(problems[:3])}{more}"


def own_tensors(model: nn.Module) -> dict[str, NDArray[np.generic]]:
    """The model's tensors in the precision in which they are stored; counters of batches are left out.

    Only parameters are stored in half precision: rounding a buffer, such as the frequencies of a positional
    encoding, would move every prompt.
    """
    learned = {name for name, _ in model.named_parameters()}
    arrays = {
        name: tensor.detach().float().cpu().numpy()
        for name, tensor in model.state_dict().items()
        if not is_counter(name)
    }
    return {
        **to_stored_precision({name: array for name, array in arrays.items() if name in learned}),
        **{name: array for name, array in arrays.items() if name not in learned},
    }


def save_own(model: nn.Module, path: Path, manifest: Manifest) -> None:
    """Writes the model in densevit's .safetensors format, with the manifest in the header.

    Raises:
        ManifestError: no reader would accept the manifest; nothing is written.
    """
    tensors = own_tensors(model)
    digest = hash_tensors(tensors)
    header = replace(manifest, weights_precision="fp16", weights_sha256=digest, golden=None).to_json()
    Manifest.from_json(header, source=str(path))
    write_tensors(path, tensors, metadata={METADATA_KEY: header})


def _refuse_bomb(path: Path) -> None:
    """PyTorch stores tensors as they are, so an archive that grows when read was not written by it."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > 2 * path.stat().st_size + 2**20:
        raise WeightsError(
            f"{path}: refused, it would unpack to {unpacked:,} bytes; ask its author for safetensors"
        )


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_complex()


def read_pickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pt` / `.pth` / `.bin` file, read without running code from it.

    A `state_dict` entry is used where there is one, as the official loader does.

    Raises:
        WeightsError: missing, damaged, or a file that wants more than tensors to be unpickled.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        _refuse_bomb(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: refused, it holds more than tensors and could run code; ask its author for safetensors"
        ) from error
    # torch.load raises nearly anything for damaged data
    except Exception as error:
        raise WeightsError(f"{path}: not a readable checkpoint ({first_line(error)})") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"{path}: does not hold a table of tensors")
    if odd := [name for name, tensor in state.items() if not _is_plain(tensor)]:
        raise WeightsError(f"{path}: {odd[0]} is not a plain tensor of real numbers; save plain ones")
    return {str(name): tensor for name, tensor in state.items()}
