"""The weighted mean of two weights files of one model: between a specialist and what it became on more images.

    python tools/average.py FIRST.safetensors SECOND.safetensors OUT.safetensors --share 0.5

Networks of one training run lie in one basin, so that points between them are networks too (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models"). BatchNorm statistics are averaged like weights. Scores in the manifest
are dropped: measure the result with `tools/bundle.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter, run

from densevit.checkpoints.loading import load_network
from densevit.checkpoints.state import save_own


def main(
    first: Annotated[Path, Parameter(help="Own weights file.")],
    second: Annotated[Path, Parameter(help="Own weights file of the same model.")],
    out: Annotated[Path, Parameter(help="The file to write.")],
    share: Annotated[float, Parameter(help="Weight of the second file, 0 to 1.")] = 0.5,
) -> None:
    """Read both, average, write."""
    network, manifest = load_network(first, None)
    other, _ = load_network(second, manifest)
    theirs = other.state_dict()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(theirs[name], share)
    save_own(network, out, replace(manifest, metrics={}))


if __name__ == "__main__":
    run(main)
