"""EfficientViT for dense prediction: segmentation, super-resolution, promptable masks and classification.

Names are imported on first use, so that importing the package costs almost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from densevit.core.errors import DensevitError, InputError, UnavailableError, UsageError
    from densevit.imaging import ImageError
    from densevit.masks import RLE
    from densevit.models.build import create_model
    from densevit.predict.kinds import Classifier, Segmenter, Upscaler
    from densevit.predict.loading import LoadedModel, load
    from densevit.predict.model import Model
    from densevit.predict.segment_anything import SegmentAnything
    from densevit.runtimes.options import LoadOptions
    from densevit.tasks.classification import ClassificationResult
    from densevit.tasks.mask_result import Mask, MasksResult
    from densevit.tasks.promptable import Scene
    from densevit.tasks.segmentation import SegmentationResult
    from densevit.tasks.super_resolution import SuperResolutionResult

__all__ = [
    "RLE",
    "ClassificationResult",
    "Classifier",
    "DensevitError",
    "ImageError",
    "InputError",
    "LoadOptions",
    "LoadedModel",
    "Mask",
    "MasksResult",
    "Model",
    "Scene",
    "SegmentAnything",
    "SegmentationResult",
    "Segmenter",
    "SuperResolutionResult",
    "UnavailableError",
    "Upscaler",
    "UsageError",
    "__version__",
    "create_model",
    "load",
]

_HOMES = {
    "RLE": "densevit.masks",
    "ClassificationResult": "densevit.tasks.classification",
    "Classifier": "densevit.predict.kinds",
    "LoadOptions": "densevit.runtimes.options",
    "LoadedModel": "densevit.predict.loading",
    "Segmenter": "densevit.predict.kinds",
    "Upscaler": "densevit.predict.kinds",
    "DensevitError": "densevit.core.errors",
    "InputError": "densevit.core.errors",
    "UnavailableError": "densevit.core.errors",
    "UsageError": "densevit.core.errors",
    "Mask": "densevit.tasks.mask_result",
    "MasksResult": "densevit.tasks.mask_result",
    "Model": "densevit.predict.model",
    "ImageError": "densevit.imaging",
    "Scene": "densevit.tasks.promptable",
    "SegmentAnything": "densevit.predict.segment_anything",
    "SegmentationResult": "densevit.tasks.segmentation",
    "SuperResolutionResult": "densevit.tasks.super_resolution",
    "create_model": "densevit.models.build",
    "load": "densevit.predict.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'densevit' has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return _refuse_without_torch(name)


def _refuse_without_torch(name: str) -> Any:
    def refuse(*_: object, **__: object) -> None:
        from densevit.core.errors import UnavailableError

        raise UnavailableError(f"densevit.{name} needs PyTorch: pip install 'densevit[torch]'")

    return refuse


def __dir__() -> list[str]:
    return __all__
