"""Makes the bundled graphs again from the bundled weights, after a change of the converter.

    python tools/rebuild_graphs.py

Weights, metrics and verified precisions stay as they are; `tools/bundle.py` measures them.
"""

from __future__ import annotations

from densevit.checkpoints.loading import load_network
from densevit.export import write_graph
from densevit.weights import ASSETS


def main() -> None:
    """Writes `NAME.onnx` beside every `NAME.safetensors`."""
    for weights in sorted(ASSETS.glob("*.safetensors")):
        target = weights.with_suffix(".onnx")
        write_graph(*load_network(weights, None), target)
        print(f"{target.name}  {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
