"""Weights files of a random network under official and timm names."""

from functools import cache
from pathlib import Path

import torch
from safetensors.numpy import save_file

from densevit.checkpoints.names import official_name, timm_name
from densevit.variants import ARCHITECTURES
from helpers import tiny
from test_torch_free_verbs import classifier

STYLES = {"official": official_name, "timm": timm_name}


@cache
def foreign_state(architecture: str = "cls-b0", classes: int = 1000, style: str = "official"):
    """Tensors of a random network under official or timm names."""
    network = classifier(architecture, classes)
    table = ARCHITECTURES[architecture]
    return {STYLES[style](name, table): value.clone() for name, value in network.state_dict().items()}


@cache
def foreign_file(name: str, architecture: str = "cls-b0", classes: int = 1000, style: str = "official") -> Path:
    """The same as a file, which tests link to; its name does not tell the model."""
    state = foreign_state(architecture, classes, style)
    path = tiny.folder() / f"{architecture}-{classes}-{style}-{name}"
    if path.suffix == ".safetensors":
        arrays = {key: value.numpy() for key, value in state.items() if not key.endswith("num_batches_tracked")}
        save_file(arrays, path, metadata={"format": "pt"})
    elif name.startswith("wrapped"):
        torch.save({"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}}, path)
    else:
        torch.save(state, path)
    return path
