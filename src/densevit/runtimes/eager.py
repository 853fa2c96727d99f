"""PyTorch, eager: any device that PyTorch has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from densevit.manifest import Manifest
from densevit.messages import first_line
from densevit.models.deploy import PictureInput, fold_norms
from densevit.runtimes.base import (
    Precision,
    RuntimeFailedError,
    RuntimeUnavailableError,
    check_inputs,
    choose_precision,
)
from densevit.tasks.table import task_for

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes the accelerator that is there, the CPU otherwise.

    Raises:
        RuntimeUnavailableError: not a device name, or one that this machine has not.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RuntimeUnavailableError(f"device must be auto, cpu, cuda, cuda:N or mps, got {name!r}") from None
    usable = available.get(device.type, False)
    if not usable or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise RuntimeUnavailableError(f"device {name!r} is not available here; use auto or cpu")
    return device


def supports(device: torch.device, precision: Precision) -> bool:
    """Whether the device computes in that precision natively; fp16 is left to accelerators."""
    if precision == "fp32":
        return True
    if device.type == "cuda":
        return precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    # private, and not on every platform; without it fp32 is the answer that is never wrong
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return precision == "fp16" if device.type == "mps" else precision == "bf16" and bool(native())


class EagerRuntime:
    """A model in PyTorch.

    Args:
        network: takes normalised (B, C, H, W); is copied.
        manifest: gives the normalisation.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: of the arithmetic, by autocast; the attention's sums and division stay in fp32. "auto" is
            bf16 where the device has it and the manifest lists it as verified, fp32 otherwise.
        threads: CPU threads of the whole process, 0 for PyTorch's own choice.

    Raises:
        RuntimeUnavailableError: the device is not there.
    """

    name = "eager"

    def __init__(
        self,
        network: nn.Module,
        manifest: Manifest,
        *,
        device: str = "auto",
        precision: Precision | Literal["auto"] = "fp32",
        threads: int = 0,
    ) -> None:
        self._place = choose_device(device)
        self.device = str(self._place)
        self.precision = choose_precision(precision, manifest, lambda wanted: supports(self._place, wanted))
        if threads:
            torch.set_num_threads(threads)
        self.manifest = manifest
        self._signatures = task_for(manifest).signatures
        folded = fold_norms(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module = PictureInput(folded, manifest.mean, manifest.std)
        self._module = module.to(self._place).requires_grad_(False)

    def run(self, function: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs "forward"; see `Runtime.run`."""
        check_inputs(self._signatures, function, tensors)
        picture = torch.from_numpy(np.require(tensors["picture"], requirements=["C", "W"])).to(self._place)
        half = self.precision != "fp32"
        try:
            with torch.inference_mode(), torch.autocast(self._place.type, _TYPES[self.precision], enabled=half):
                return {"logits": self._module(picture).float().cpu().numpy()}
        except RuntimeError as error:
            raise RuntimeFailedError(f"PyTorch failed on {tuple(picture.shape)} ({first_line(error)})") from error
