"""Which architecture a file's tensors are of, told by their names and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from densevit.models.build import build
from densevit.models.checkpoints import is_counter
from densevit.models.names import own_names
from densevit.variants import (
    ARCHITECTURES,
    Architecture,
    PromptableTable,
    SegmentationTable,
)

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Recognised:
    """What fits: an architecture, its class count (0 where it has no classes), channels of its pictures."""

    architecture: str
    classes: int
    in_channels: int


def recognise(state: Mapping[str, Tensor]) -> Recognised | None:
    """The architecture whose tensors these are, whatever convention names them; None where none fits.

    Args:
        state: tensors by the names of the file.
    """
    state = {name: tensor for name, tensor in state.items() if not is_counter(name)}
    for table in ARCHITECTURES.values():
        expected = shapes(table.name)
        if len(expected) != len(state):
            continue
        found = {name: tuple(tensor.shape) for name, tensor in own_names(state, expected, table).items()}
        if (fitting := _fitting(found, expected, table)) is not None:
            return fitting
    return None


@cache
def shapes(name: str) -> Shapes:
    """Shapes of the tensors of an architecture by our names, counters of batches left out."""
    with torch.device("meta"):
        network = build(ARCHITECTURES[name])
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items() if not is_counter(key)}


def _fitting(found: Shapes, expected: Shapes, table: Architecture) -> Recognised | None:
    """The first convolution may take any number of channels, the classifier give any number of classes."""
    if found.keys() != expected.keys():
        return None
    stem, classifier = stem_name(table), classifier_name(table)
    for name, shape in expected.items():
        if name == stem:
            same = found[name][:1] + found[name][2:] == shape[:1] + shape[2:]
        elif classifier and name.startswith(classifier):
            same = found[name][1:] == shape[1:] and len(found[name]) == len(shape)
        else:
            same = found[name] == shape
        if not same:
            return None
    classes = found[f"{classifier}bias"][0] if classifier else 0
    return Recognised(table.name, classes, found[stem][1])


def stem_name(table: Architecture) -> str:
    """Our name of the weight that reads the picture."""
    prefix = "image_encoder." if isinstance(table, PromptableTable) else ""
    return f"{prefix}backbone.stages.0.0.conv.weight"


def classifier_name(table: Architecture) -> str:
    """What our names of the classifier's weight and bias begin with; "" where there is none."""
    if isinstance(table, PromptableTable):
        return ""
    if isinstance(table, SegmentationTable):
        return f"head.output.{0 if table.head.final_expand is None else 1}.conv."
    return "head.classifier."
