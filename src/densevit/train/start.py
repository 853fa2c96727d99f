"""Trained backbones as a start for other models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from densevit.checkpoints.opening import open_network
from densevit.core.errors import InputError
from densevit.models.backbone import Backbone
from densevit.models.build import Network, PromptableModel


def backbone_of(network: Network) -> Backbone | None:
    """The EfficientViT backbone of a model, None where it has none."""
    holder = network.image_encoder if isinstance(network, PromptableModel) else network
    found = getattr(holder, "backbone", None)
    return found if isinstance(found, Backbone) else None


def start_from(network: Network, path: Path) -> None:
    """Gives a model the backbone of a file, every tensor of it.

    Args:
        network: takes the values.
        path: own, official or timm weights of any task.

    Raises:
        ValueError: no such file, a model without a backbone of this kind, or with another one.
    """
    source, manifest = open_network(path, None)
    ours, theirs = backbone_of(network), backbone_of(source)
    if ours is None or theirs is None:
        raise InputError(f"{path}: {manifest.architecture} has no EfficientViT backbone to start from")
    # the epsilon differs from task to task, and is no tensor
    if replace(theirs.table, norm_eps=ours.table.norm_eps) != ours.table:
        raise InputError(
            f"{path}: its backbone is {theirs.table.name} ({manifest.architecture}), the model's is "
            f"{ours.table.name}; start from weights with the same backbone"
        )
    ours.load_state_dict(theirs.state_dict())
