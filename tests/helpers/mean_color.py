"""A toy task, image -> its mean color: everything that somebody writes to add a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from densevit.cli.answer_images import answer_images
from densevit.cli.flags import make_verb
from densevit.cli.options import Json, ModelChoice, Out, Sources, load_model
from densevit.core.manifest import Manifest
from densevit.imaging import Placement, Size, SizePolicy
from densevit.runtimes.options import LoadOptions
from densevit.tasks.base import Example, Signature, TensorSpec, check_finite
from densevit.tasks.one_call import OneCallTask
from densevit.tasks.result import Result, write_json
from densevit.tasks.table import TaskRow

NAME = "mean_color"


def manifest() -> Manifest:
    return Manifest(name="toy", task=NAME, architecture="toy", mean=(0.0,) * 3, std=(1.0,) * 3, multiple=16)


@dataclass(frozen=True)
class MeanColorResult(Result):
    """The mean of the colors, (3,) float32 in 0..255."""

    color: np.ndarray

    formats: ClassVar = {"json": ".mean_color.json"}
    default_format: ClassVar = "json"

    def to_json(self):
        return {"color": [round(float(value), 3) for value in self.color]}

    def write(self, form, target):
        write_json(self.to_json(), target)
        return [target]


class MeanColor(OneCallTask):
    """Images of any size as they are."""

    size = SizePolicy("native")

    @property
    def signatures(self):
        image = TensorSpec("image", "uint8", ("batch", "height", "width", 3), Example("image"))
        return {"forward": Signature((image,), (TensorSpec("color", "float32", ("batch", 3)),))}

    def preprocess(self, image):
        size = Size.of(image)
        return {"image": image[None]}, Placement(size, size, size)

    def postprocess(self, raw, placement, image=None):
        (color,) = raw["color"]
        check_finite(color)
        return MeanColorResult(color * 255)


class ColorError:
    """Mean absolute error of the colors, in billionths."""

    def __init__(self) -> None:
        self._sums = np.zeros(2, np.int64)

    def open_sample(self, sample):
        return sample.image, sample.color

    def update(self, result, truth):
        self._sums += np.array([1, round(1e9 * float(np.abs(result.color - truth).mean()))])

    def state(self):
        return self._sums

    def compute(self, counts):
        return {"color_error": counts[1] / counts[0] / 1e9}


ROW = TaskRow(
    lambda manifest, size: MeanColor(), verb="mean-color", make_scorer=lambda manifest, data: ColorError()
)


@make_verb
def mean_color(
    sources: Sources,
    *,
    model: ModelChoice,
    out: Out,
    as_json: Json = False,
    load: LoadOptions = LoadOptions(),  # noqa: B008
) -> None:
    """The mean color of every image."""
    answer_images(
        "mean color",
        sources,
        lambda: load_model(model, load, task=NAME),
        lambda _, source, result: {
            "written": [str(path) for path in result.save(out / source.stem)],
            **result.to_json(),
        },
        lambda row: str(row["color"]),
        exclude=out,
        max_pixels=10**6,
        as_json=as_json,
    )
