"""Recognizes an architecture by the names and shapes of a file's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from densevit.checkpoints.names import to_own_names
from densevit.checkpoints.state import list_differences, shapes_of
from densevit.models.build import build
from densevit.variants import ARCHITECTURES, FAMILIES, Architecture

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Recognition:
    """An architecture with such tensors, its number of classes (0 for none), channels of its images."""

    architecture: str
    classes: int
    in_channels: int


def recognize(state: Mapping[str, Tensor]) -> Recognition | None:
    """The architecture that has these tensors, under the names of any convention; None if no one has.

    Args:
        state: tensors by the names of the file.
    """
    for table in ARCHITECTURES.values():
        expected = shapes(table.name)
        found = shapes_of(to_own_names(state, expected, table))
        if (match := _match(found, expected, table)) is not None:
            return match
    return None


def find_nearest(state: Mapping[str, Tensor]) -> tuple[str, list[str]] | None:
    """The architecture with the fewest differences, and the differences; None if more than half of it differs.

    Args:
        state: tensors by the names of the file.
    """
    best: tuple[str, list[str]] | None = None
    for table in ARCHITECTURES.values():
        expected = shapes(table.name)
        problems = list_differences(shapes_of(to_own_names(state, expected, table)), expected)
        if len(problems) < min(len(best[1]) if best else len(expected), len(expected) / 2):
            best = table.name, problems
    return best


@cache
def shapes(name: str) -> Shapes:
    """Shapes of the tensors of an architecture by our names, counters of batches left out."""
    with torch.device("meta"):
        network = build(ARCHITECTURES[name])
    return shapes_of(network.state_dict())


def _match(found: Shapes, expected: Shapes, table: Architecture) -> Recognition | None:
    """The first convolution may have any number of input channels, the classifier any number of classes."""
    if found.keys() != expected.keys():
        return None
    family = FAMILIES[table.kind]
    stem, classifier = family.stem, family.find_classifier(table)
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
    if classifier and found[f"{classifier}weight"][0] != classes:
        return None
    return Recognition(table.name, classes, found[stem][1])
