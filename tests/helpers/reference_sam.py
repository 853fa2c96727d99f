"""EfficientViT-SAM's image encoder in float64, from the facts of the official repository and not from ours."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.reference import Given, Invented, Listed, Network, Row

_PREFIX = "image_encoder."


@dataclass(frozen=True)
class EncoderRow(Row):
    """Class count and head are not used; the neck is."""

    blocks: tuple[str, ...] = ("res", "fmb", "fmb", "mb", "att")
    expands: tuple[int, ...] = (1, 4, 4, 4, 6)
    scale: int = 5
    neck_depth: int = 4
    neck_expand: int = 1
    neck_width: int = 256

    @property
    def eps(self) -> float:
        return {"b": 1e-5, "l": 1e-6}[self.family]


def _row(widths, depths, neck_depth, **more) -> EncoderRow:
    return EncoderRow("l", widths, depths, 32, 0, 0, 0, 0, None, neck_depth=neck_depth, **more)


_XL = {
    "blocks": ("res", "fmb", "fmb", "fmb", "att", "att"),
    "expands": (1, 4, 4, 4, 4, 6),
    "scale": 3,
    "neck_expand": 4,
}
ROWS = {
    "sam-l0": _row((32, 64, 128, 256, 512), (1, 1, 1, 4, 4), 4),
    "sam-l1": _row((32, 64, 128, 256, 512), (1, 1, 1, 6, 6), 8),
    "sam-l2": _row((32, 64, 128, 256, 512), (1, 2, 2, 8, 8), 12),
    "sam-xl0": _row((32, 64, 128, 256, 512, 1024), (0, 1, 1, 2, 3, 3), 6, **_XL),
    # no checkpoint has been published
    "sam-b1": EncoderRow("b", (16, 32, 64, 128, 256), (1, 2, 3, 3, 4), 16, 0, 0, 0, 0, None, neck_width=128),
    "sam-xl1": _row((32, 64, 128, 256, 512, 1024), (1, 2, 2, 4, 6, 6), 12, **_XL),
}


class Encoder(Network):
    """The encoder as one walk over official keys, which all begin with `image_encoder.`."""

    row: EncoderRow

    def __init__(self, row: EncoderRow, weights: Given | Invented | Listed) -> None:
        super().__init__(row, lambda key, *shape: weights(_PREFIX + key, *shape))
        self.scale = row.scale

    def backbone(self, x: Tensor) -> list[Tensor]:
        row = self.row
        if row.family == "b":
            return self.backbone_b(x)
        key = "backbone.stages.0.op_list"
        x = self.conv(f"{key}.0", x, row.widths[0], 3, 2, act=True)
        for i in range(1, row.depths[0] + 1):
            x = x + self.res(f"{key}.{i}.main", x)
        maps = [x]
        for stage in range(1, len(row.widths)):
            key = f"backbone.stages.{stage}.op_list"
            width, expand, block = row.widths[stage], row.expands[stage], row.blocks[stage]
            if block == "fmb":
                x = self.fmb(f"{key}.0.main", x, width, 4 * expand, 2)
            else:
                x = self.mb(f"{key}.0.main", x, width, 4 * expand, 2, few=True)
            for i in range(1, row.depths[stage] + 1):
                if block == "att":
                    x = self.efficientvit(f"{key}.{i}", x, expand)
                elif block == "fmb":
                    x = x + self.fmb(f"{key}.{i}.main", x, width, expand)
                else:
                    x = x + self.mb(f"{key}.{i}.main", x, width, expand, few=True)
            maps.append(x)
        return maps

    def __call__(self, x: Tensor) -> Tensor:
        maps = self.backbone(x)
        size = maps[-3].shape[-2:]
        total = torch.zeros((), dtype=torch.float64)
        for i, source in enumerate((maps[-1], maps[-2], maps[-3])):
            y = self.conv(f"neck.input_ops.{i}.op_list.0", source, self.row.neck_width, 1)
            total = total + F.interpolate(y, size=size, mode="bicubic", align_corners=False)
        for i in range(self.row.neck_depth):
            key, expand = f"neck.middle.op_list.{i}.main", self.row.neck_expand
            total = total + self.fmb(key, total, self.row.neck_width, expand)
        y = self.conv("neck.output_ops.0.op_list.0", total, 256, 1, bias=True, norm=False)
        centerd = y - y.mean(1, keepdim=True)
        normed = centerd / torch.sqrt((centerd**2).mean(1, keepdim=True) + 1e-6)
        scale, shift = (self.weights(f"norm.{name}", 256).view(1, -1, 1, 1) for name in ("weight", "bias"))
        return normed * scale + shift
