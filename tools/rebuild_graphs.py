"""Writes the headers and graphs of the bundled weights again, after a change of manifest or converter.

    python tools/rebuild_graphs.py

Tensors and measured scores stay as they are; `tools/bundle.py` measures them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, run

from densevit.checkpoints.loading import load_network
from densevit.core.manifest import METADATA_KEY, Manifest
from densevit.export import write_graph
from densevit.weights import ASSETS, read_tensors, write_tensors


def main(
    folder: Annotated[Path, Parameter(help="Folder of the bundled files.")] = ASSETS,
) -> None:
    """For every `NAME.safetensors`: its header in the present format, and `NAME.onnx` beside it."""
    for weights in sorted(folder.glob("*.safetensors")):
        tensors, metadata = read_tensors(weights)
        manifest = Manifest.from_json(metadata[METADATA_KEY], source=str(weights))
        write_tensors(weights, tensors, metadata={METADATA_KEY: manifest.to_json()})
        target = weights.with_suffix(".onnx")
        write_graph(*load_network(weights, None), target, golden=True)
        print(f"{target.name}  {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    run(main)
