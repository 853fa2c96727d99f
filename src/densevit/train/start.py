"""Initialize a model with the trained backbone of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from densevit.checkpoints.opening import open_network
from densevit.core.errors import InputError
from densevit.models.backbone import Backbone
from densevit.models.build import Network, PromptableModel


def find_backbone(network: Network) -> Backbone | None:
    """The EfficientViT backbone of a model, or None if it has a different encoder."""
    holder = network.image_encoder if isinstance(network, PromptableModel) else network
    found = getattr(holder, "backbone", None)
    return found if isinstance(found, Backbone) else None


def start_from(network: Network, path: Path) -> None:
    """Copies all backbone weights from a file into a model.

    Args:
        network: changed in place.
        path: weights of any task: densevit's, official or timm's.

    Raises:
        WeightsError: the file cannot be read.
        InputError: it holds no EfficientViT backbone, or another variant of it.
    """
    source, manifest = open_network(path, None)
    ours, theirs = find_backbone(network), find_backbone(source)
    if ours is None or theirs is None:
        raise InputError(f"{path}: {manifest.architecture} has no EfficientViT backbone to start from")
    # the norms' epsilon differs between tasks; it is not a weight
    if replace(theirs.table, norm_eps=ours.table.norm_eps) != ours.table:
        raise InputError(
            f"{path}: its backbone is {theirs.table.name} ({manifest.architecture}), the model's is "
            f"{ours.table.name}; start from weights with the same backbone"
        )
    ours.load_state_dict(theirs.state_dict())
