"""Results with masks of objects: run lengths, decoded one at a time, so that thousands of them stay small."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from densevit import masks
from densevit.core.errors import InputError, UsageError
from densevit.imaging import Size, draw
from densevit.masks import RLE
from densevit.tasks.mask_files import write_mask_images
from densevit.tasks.result import Drawing, Result, write_json


@dataclass(frozen=True)
class Mask:
    """The mask of one object.

    Attributes:
        rle: the pixels, as run lengths.
        score: intersection over union with the true mask, as the model predicts it, about 0..1.
        prompt: number of its prompt, from 0.
        stability: share of the mask that stays when its threshold moves ("segment everything"), or None.
        point: (x, y) in image pixels that it was found from ("segment everything"), or None.
        crop: (x0, y0, x1, y1) of the crop that it was found in ("segment everything"), or None.
    """

    rle: RLE
    score: float
    prompt: int = 0
    stability: float | None = None
    point: tuple[float, float] | None = None
    crop: tuple[int, int, int, int] | None = None

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.rle.area

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in image pixels, x1 and y1 exclusive; zeros for an empty mask."""
        return self.rle.box

    def decode(self) -> NDArray[np.bool_]:
        """(H, W), True inside."""
        return self.rle.decode()

    def polygons(self) -> list[NDArray[np.float64]]:
        """Outlines, see `densevit.masks.trace_polygons`."""
        return masks.trace_polygons(self.decode())

    def to_coco(self, *, compressed: bool = True) -> dict[str, Any]:
        """A COCO annotation: "segmentation", "area", "bbox" [x, y, width, height]; and the scores."""
        x0, y0, x1, y1 = self.box
        annotation: dict[str, Any] = {
            "segmentation": self.rle.to_coco(compressed=compressed),
            "area": self.area,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "predicted_iou": round(self.score, 6),
        }
        if self.stability is not None:
            annotation["stability_score"] = round(self.stability, 6)
        if self.point is not None:
            annotation["point_coords"] = [list(self.point)]
        if self.crop is not None:
            x0, y0, x1, y1 = self.crop
            annotation["crop_box"] = [x0, y0, x1 - x0, y1 - y0]
        return annotation


@dataclass(frozen=True)
class MasksResult(Result):
    """The masks of one image.

    It is written as overlay (JPEG), png (a folder with a black and white image per mask, and "masks.json", which
    lists them), rle (JSON of COCO annotations) and json (boxes, areas, scores, polygons).

    Attributes:
        masks: in the order of the prompts, the three of an ambiguous prompt in a row; of "segment everything"
            best first.
        size: (height, width) of the image.
        image: (H, W, 3) uint8 RGB, or None if it was not kept.
        logits: (len(masks), 256, 256) float32 before enlargement, or None if they were not kept; a later prompt
            takes a row of them as its `mask`.
    """

    masks: tuple[Mask, ...]
    size: Size
    image: NDArray[np.uint8] | None = None
    logits: NDArray[np.float32] | None = None

    formats: ClassVar[Mapping[str, str]] = {
        "overlay": ".masks.jpg",
        "png": ".masks",
        "rle": ".rle.json",
        "json": ".masks.json",
    }
    default_format: ClassVar[str] = "overlay"

    def __post_init__(self) -> None:
        if wrong := [mask.rle.size for mask in self.masks if tuple(mask.rle.size) != tuple(self.size)]:
            raise ValueError(f"a mask is {wrong[0]}, the image {tuple(self.size)}")
        if self.image is not None and Size.of(self.image) != self.size:
            raise ValueError(f"the image is {Size.of(self.image)}, the masks are {self.size}")
        if self.logits is not None and len(self.logits) != len(self.masks):
            raise ValueError(f"{len(self.logits)} rows of logits for {len(self.masks)} masks")

    def __len__(self) -> int:
        return len(self.masks)

    def __iter__(self) -> Iterator[Mask]:
        return iter(self.masks)

    def __getitem__(self, index: int) -> Mask:
        return self.masks[index]

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N,) predicted intersection over union, about 0..1."""
        return np.array([mask.score for mask in self.masks], np.float32)

    @property
    def boxes(self) -> NDArray[np.int64]:
        """(N, 4) x0, y0, x1, y1 in image pixels, x1 and y1 exclusive."""
        return np.array([mask.box for mask in self.masks], np.int64).reshape(-1, 4)

    @property
    def areas(self) -> NDArray[np.int64]:
        """(N,) numbers of pixels."""
        return np.array([mask.area for mask in self.masks], np.int64)

    def best(self) -> MasksResult:
        """The mask with the highest score of each prompt, in the order of the prompts."""
        chosen: dict[int, int] = {}
        for index, mask in enumerate(self.masks):
            if mask.prompt not in chosen or mask.score > self.masks[chosen[mask.prompt]].score:
                chosen[mask.prompt] = index
        order = [chosen[prompt] for prompt in sorted(chosen)]
        logits = None if self.logits is None else self.logits[order]
        return MasksResult(tuple(self.masks[index] for index in order), self.size, self.image, logits)

    def labels(self) -> NDArray[np.uint16]:
        """(H, W): 0 where there is no mask, i + 1 for mask i; of overlapping masks the smallest is on top.

        Raises:
            InputError: more masks than uint16 has labels.
        """
        if len(self.masks) > 65_534:
            raise InputError(f"{len(self.masks):,} masks do not fit into one label map; write rle or png instead")
        labels = np.zeros(self.size, np.uint16)
        for index in np.argsort(-self.areas, kind="stable"):
            labels[self.masks[index].decode()] = index + 1
        return labels

    def overlay(self, *, opacity: float = 0.5) -> Drawing:
        """The image under the masks, each in its own color, smaller ones on top.

        Raises:
            UsageError: the result does not hold the image.
            InputError: as `labels`.
        """
        if self.image is None:
            raise UsageError("this result does not hold its image; use labels()")
        labels = self.labels()
        palette = draw.make_palette(max(1, len(self.masks)))
        drawn = draw.overlay(self.image, labels.astype(np.int64) - 1, palette, opacity=opacity)
        return Drawing(np.where(labels[..., None] > 0, drawn, self.image))

    def to_coco(self, *, compressed: bool = True) -> list[dict[str, Any]]:
        """One annotation per mask, see `Mask.to_coco`."""
        return [mask.to_coco(compressed=compressed) for mask in self.masks]

    def to_json(self) -> dict[str, Any]:
        """Size, boxes, areas and scores, ready for JSON."""
        rows = [
            {"prompt": mask.prompt, "score": round(mask.score, 6), "area": mask.area, "box": list(mask.box)}
            for mask in self.masks
        ]
        return {"height": self.size.height, "width": self.size.width, "masks": rows}

    def write(self, form: str, target: Path) -> list[Path]:
        """Writes one format; see `Result.write`.

        Returns:
            The files written, without "masks.json". Mask images of an earlier result are removed.

        Raises:
            InputError: the folder holds a file of the user where a mask image would be; or as `labels`.
        """
        match form:
            case "overlay":
                self.overlay().save(target)
            case "png":
                return write_mask_images(target, (mask.rle for mask in self.masks))
            case "rle":
                write_json({"size": list(self.size), "annotations": self.to_coco()}, target)
            case "json":
                report = self.to_json()
                for row, mask in zip(report["masks"], self.masks, strict=True):
                    row["polygons"] = [ring.ravel().tolist() for ring in mask.polygons()]
                write_json(report, target)
        return [target]
