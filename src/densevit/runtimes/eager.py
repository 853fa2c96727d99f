"""PyTorch, eager: any device that PyTorch has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from densevit.checkpoints.opening import open_network
from densevit.core.errors import UnavailableError, UsageError
from densevit.core.manifest import Manifest
from densevit.models.build import functions
from densevit.models.deploy import fold_norms, with_image_input
from densevit.runtimes.base import (
    Precision,
    check_inputs,
    choose_precision,
    recognize_out_of_memory,
)
from densevit.runtimes.options import LoadOptions
from densevit.runtimes.table import Artefact
from densevit.tasks.table import make_task

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes an accelerator if there is one, the CPU otherwise.

    Raises:
        UsageError: not a device name.
        UnavailableError: this machine lacks the device.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device must be auto, cpu, cuda, cuda:N or mps, got {name!r}") from None
    usable = available.get(device.type, False)
    if not usable or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise UnavailableError(f"device {name!r} is not available here; use auto or cpu")
    return device


def supports(device: torch.device, precision: Precision) -> bool:
    """Whether the device computes in that precision natively; fp16 is left to accelerators."""
    if precision == "fp32":
        return True
    if device.type == "cuda":
        return precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    # private, and not on every platform; without it fp32 is the safe answer
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return precision == "fp16" if device.type == "mps" else precision == "bf16" and bool(native())


class EagerRuntime:
    """A model in PyTorch.

    Args:
        network: its functions take normalized (B, C, H, W); is copied.
        manifest: gives task and normalization.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: of the arithmetic, by autocast; the attention's sums and division stay in fp32. "auto" is
            bf16 if the device has it and the manifest lists it as verified, fp32 otherwise.
        threads: CPU threads of the whole process, 0 for PyTorch's own choice.

    Raises:
        UsageError: not a device or precision.
        UnavailableError: this machine lacks the device, or the device the precision.
    """

    name = "eager"

    def __init__(
        self,
        network: nn.Module,
        manifest: Manifest,
        *,
        device: str = "auto",
        precision: str = "fp32",
        threads: int = 0,
    ) -> None:
        self._place = choose_device(device)
        self.device = str(self._place)
        self.precision = choose_precision(precision, manifest, lambda wanted: supports(self._place, wanted))
        if threads:
            torch.set_num_threads(threads)
        self.manifest = manifest
        self._signatures = make_task(manifest).signatures
        # all functions from one copy, so that they share its parameters
        parts = functions(fold_norms(network))
        self._modules = {
            name: self._move(with_image_input(parts[name], signature.inputs[0].dtype, manifest))
            for name, signature in self._signatures.items()
        }

    @classmethod
    def open(cls, artefact: Artefact, options: LoadOptions) -> EagerRuntime:
        """Builds the network of a weights file.

        Raises:
            InputError: the file cannot be read, or holds another model than was asked for.
            UnavailableError: as the class says.
        """
        network, manifest = open_network(artefact.path, artefact.manifest)
        return cls(network, manifest, device=options.device, precision=options.precision, threads=options.threads)

    @property
    def parameter_bytes(self) -> int:
        """Memory of all parameters and buffers on the device; what functions share counts once."""
        tensors = [
            tensor for module in self._modules.values() for tensor in (*module.parameters(), *module.buffers())
        ]
        return sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())

    def _move(self, module: nn.Module) -> nn.Module:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return module.to(self._place).requires_grad_(False)

    def run(self, function: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs a function by name; see `Runtime.run`."""
        check_inputs(self._signatures, function, tensors)
        signature = self._signatures[function]
        arrays = [np.require(tensors[spec.name], requirements=["C", "W"]) for spec in signature.inputs]
        half = self.precision != "fp32"
        with (
            recognize_out_of_memory("PyTorch", [array.shape for array in arrays]),
            torch.inference_mode(),
            torch.autocast(self._place.type, _TYPES[self.precision], enabled=half),
        ):
            answer = self._modules[function](*(torch.from_numpy(array).to(self._place) for array in arrays))
            # one output is a tensor, several are a tuple in the order of the signature
            outputs = [answer] if len(signature.outputs) == 1 else answer
            return {
                spec.name: output.float().cpu().numpy()
                for spec, output in zip(signature.outputs, outputs, strict=True)
            }
