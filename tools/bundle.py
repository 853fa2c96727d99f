"""Puts trained weights into the package: measures them, then writes weights and graph to assets.

    python tools/bundle.py RUN/best.safetensors --data camvid:data/camvid --size short:720
    python tools/bundle.py RUN/best.safetensors --data sr:data/sr

The scores on the val split are measured through OpenVINO in fp32 and bf16; bf16 enters the manifest as verified,
with its scores, when it loses at most 0.1 points or 0.02 dB of the first one.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, run

from densevit.checkpoints.loading import load_network
from densevit.checkpoints.state import save_own
from densevit.core.manifest import Manifest
from densevit.data.table import open_data
from densevit.evaluate import evaluate
from densevit.export import find_verified, write_graph
from densevit.predict.loading import load
from densevit.runtimes.openvino import supports
from densevit.weights import ASSETS

METRICS = {
    "segmentation": {"miou": 2, "pixel_accuracy": 2},
    "classification": {"top1": 2, "top5": 2},
    "super_resolution": {"psnr_y": 3, "ssim_y": 4},
}
"""Task -> the scores that are recorded, with their digits; the first one leads."""


def main(
    weights: Annotated[Path, Parameter(help="Weights file of a training.")],
    data: Annotated[str, Parameter(help="KIND:PATH of the validation data.")],
    size: Annotated[str, Parameter(help="Size policy that becomes the default.")] = "native",
    out: Annotated[Path, Parameter(help="Folder for the two files.")] = ASSETS,
) -> None:
    """Measure, then write `NAME.safetensors` and `NAME.onnx`."""
    network, manifest = load_network(weights, None)
    manifest = replace(manifest, size=size, verified_precisions={"fp32": {}})
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.onnx"
        write_graph(network, manifest, graph)
        manifest = _measure(graph, manifest, data)
    save_own(network, out / f"{manifest.name}.safetensors", manifest)
    network, manifest = load_network(out / f"{manifest.name}.safetensors", None)
    write_graph(network, manifest, out / f"{manifest.name}.onnx", golden=True)


def _measure(graph: Path, manifest: Manifest, data: str) -> Manifest:
    samples = open_data(data, "val")
    kind = data.partition(":")[0]
    names = METRICS[manifest.task]
    leading = next(iter(names))
    scores = {}
    for precision in ("fp32", "bf16"):
        if not supports(precision):
            continue
        model = load(graph, precision=precision)
        scores[precision] = evaluate(model, samples).metrics
        print(f"{precision}: {leading} {scores[precision][leading]:.3f}")
    verified = {
        precision: {f"{kind}/val/{name}": round(measured[name], digits) for name, digits in names.items()}
        for precision, measured in scores.items()
        if precision in find_verified(scores)
    }
    return replace(manifest, metrics=verified["fp32"], verified_precisions=verified)


if __name__ == "__main__":
    run(main)
