"""Makes `import torchvision` work beside a torch for which its compiled half was not built.

The package index has torchvision built for CUDA; beside the CPU build of torch its library does not load, and the
import fails because two operators have no schema. Packages that tests compare with (segment-anything, timm)
import torchvision, but call none of its operators. So call `make_torchvision_importable` before importing them.
"""

import importlib.util
from functools import cache
from pathlib import Path

import torch


@cache
def make_torchvision_importable() -> torch.library.Library | None:
    """Declare the operators that the import wants, without code: calling one still raises.

    Does nothing where torchvision is absent or its own library loads. The cache keeps the returned library alive,
    and with it the declarations.
    """
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return None
    for library in Path(package.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(library)
        except OSError:
            continue
        return None
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return declared
