"""EfficientViT segmentation in float64, written from the facts of the official repository, not from ours.

Every tensor is asked for by its official key together with the shape that the published configuration gives
it, so the same walk makes random checkpoints, reads real ones, and lists their keys.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Row:
    family: str
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    dim: int
    classes: int
    head_width: int
    head_depth: int
    head_expand: int
    final_expand: int | None

    @property
    def eps(self) -> float:
        return {"b": 1e-5, "l": 1e-7}[self.family]


_B = {
    "b0": ((8, 16, 32, 64, 128), (1, 2, 2, 2, 2), 16),
    "b1": ((16, 32, 64, 128, 256), (1, 2, 3, 3, 4), 16),
    "b2": ((24, 48, 96, 192, 384), (1, 3, 4, 4, 6), 32),
    "b3": ((32, 64, 128, 256, 512), (1, 4, 6, 6, 9), 32),
}
_L = {"l1": ((32, 64, 128, 256, 512), (1, 1, 1, 6, 6), 32), "l2": ((32, 64, 128, 256, 512), (1, 2, 2, 8, 8), 32)}

ROWS = {
    "seg-b0": Row("b", *_B["b0"], 19, 32, 1, 4, 4),
    "seg-b1": Row("b", *_B["b1"], 19, 64, 3, 4, 4),
    "seg-b2": Row("b", *_B["b2"], 19, 96, 3, 4, 4),
    "seg-b3": Row("b", *_B["b3"], 19, 128, 3, 4, 4),
    "seg-b1-ade20k": Row("b", *_B["b1"], 150, 64, 3, 4, None),
    "seg-b2-ade20k": Row("b", *_B["b2"], 150, 96, 3, 4, None),
    "seg-b3-ade20k": Row("b", *_B["b3"], 150, 128, 3, 4, None),
    "seg-l1": Row("l", *_L["l1"], 19, 256, 3, 1, None),
    "seg-l2": Row("l", *_L["l2"], 19, 256, 5, 1, None),
    "seg-l1-ade20k": Row("l", *_L["l1"], 150, 128, 3, 4, 8),
    "seg-l2-ade20k": Row("l", *_L["l2"], 150, 128, 3, 4, 8),
}


class Given:
    """Tensors of a checkpoint, in float64; `used` tells which were asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        self.used: set[str] = set()

    def __call__(self, key: str, *shape: int) -> Tensor:
        tensor = self.tensors[key]
        assert tuple(tensor.shape) == shape, f"{key}: {tuple(tensor.shape)}, expected {shape}"
        self.used.add(key)
        return tensor.double()


class Invented:
    """Random tensors, made when they are asked for; they are fp32 numbers. The statistics are no defaults."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors: dict[str, Tensor] = {}

    def __call__(self, key: str, *shape: int) -> Tensor:
        if key not in self.tensors:
            self.tensors[key] = self._make(key, shape).float()
        return self.tensors[key].double()

    def _make(self, key: str, shape: tuple[int, ...]) -> Tensor:
        if key.endswith("num_batches_tracked"):
            return torch.tensor(7.0)
        if key.endswith(("running_var", "norm.weight")):
            return 0.5 + torch.rand(shape, generator=self.generator, dtype=torch.float64)
        noise = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        if len(shape) == 1:
            return 0.3 * noise
        return noise * math.sqrt(1.5 / math.prod(shape[1:]))


class Listed:
    """Keys and shapes only; what it gives are empty tensors on the meta device."""

    def __init__(self) -> None:
        self.shapes: dict[str, list[int]] = {}

    def __call__(self, key: str, *shape: int) -> Tensor:
        self.shapes[key] = list(shape)
        return torch.empty(shape, dtype=torch.float64, device="meta")


class Network:
    """The whole network as one walk over official keys."""

    scale = 5  # kernel of the aggregation

    def __init__(self, row: Row, weights: Given | Invented | Listed) -> None:
        self.row = row
        self.weights = weights

    def activation(self, x: Tensor) -> Tensor:
        if self.row.family == "b":
            return x * (x + 3).clamp(0, 6) / 6
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + torch.tanh(inner))

    def norm(self, key: str, x: Tensor) -> Tensor:
        channels = x.shape[1]
        scale, shift, mean, var = (
            self.weights(f"{key}.{name}", channels).view(1, -1, 1, 1)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        self.weights(f"{key}.num_batches_tracked")
        return (x - mean) / torch.sqrt(var + self.row.eps) * scale + shift

    def conv(
        self,
        key: str,
        x: Tensor,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        *,
        bias: bool = False,
        norm: bool = True,
        act: bool = False,
    ) -> Tensor:
        weight = self.weights(f"{key}.conv.weight", out, x.shape[1] // groups, kernel, kernel)
        shift = self.weights(f"{key}.conv.bias", out) if bias else None
        x = F.conv2d(x, weight, shift, stride=stride, padding=kernel // 2, groups=groups)
        if norm:
            x = self.norm(f"{key}.norm", x)
        return self.activation(x) if act else x

    def ds(self, key: str, x: Tensor) -> Tensor:
        c = x.shape[1]
        x = self.conv(f"{key}.depth_conv", x, c, 3, groups=c, act=True)
        return self.conv(f"{key}.point_conv", x, c, 1)

    def mb(self, key: str, x: Tensor, out: int, expand: float, stride: int = 1, few: bool = False) -> Tensor:
        middle = round(x.shape[1] * expand)
        x = self.conv(f"{key}.inverted_conv", x, middle, 1, bias=few, norm=not few, act=True)
        x = self.conv(f"{key}.depth_conv", x, middle, 3, stride, middle, bias=few, norm=not few, act=True)
        return self.conv(f"{key}.point_conv", x, out, 1)

    def fmb(self, key: str, x: Tensor, out: int, expand: float, stride: int = 1) -> Tensor:
        x = self.conv(f"{key}.spatial_conv", x, round(x.shape[1] * expand), 3, stride, act=True)
        return self.conv(f"{key}.point_conv", x, out, 1)

    def res(self, key: str, x: Tensor) -> Tensor:
        c = x.shape[1]
        return self.conv(f"{key}.conv2", self.conv(f"{key}.conv1", x, c, 3, act=True), c, 3)

    def lite_mla(self, key: str, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        dim = self.row.dim
        heads = channels // dim
        total = heads * dim
        qkv = self.conv(f"{key}.qkv", x, 3 * total, 1, norm=False)
        weight = self.weights(f"{key}.aggreg.0.0.weight", 3 * total, 1, self.scale, self.scale)
        local = F.conv2d(qkv, weight, padding=self.scale // 2, groups=3 * total)
        weight = self.weights(f"{key}.aggreg.0.1.weight", 3 * total, dim, 1, 1)
        local = F.conv2d(local, weight, groups=3 * heads)
        multi = torch.cat([qkv, local], 1).reshape(batch, 2 * heads, 3 * dim, height * width)
        q, k, v = multi[:, :, :dim].relu(), multi[:, :, dim : 2 * dim].relu(), multi[:, :, 2 * dim :]
        state = torch.einsum("bhim,bhjm->bhij", v, k)
        above = torch.einsum("bhij,bhjn->bhin", state, q)
        below = torch.einsum("bhjm,bhjn->bhn", k, q).unsqueeze(2) + 1e-15
        return self.conv(f"{key}.proj", (above / below).reshape(batch, 2 * total, height, width), channels, 1)

    def efficientvit(self, key: str, x: Tensor, expand: float) -> Tensor:
        x = x + self.lite_mla(f"{key}.context_module.main", x)
        return x + self.mb(f"{key}.local_module.main", x, x.shape[1], expand, few=True)

    def backbone_b(self, x: Tensor) -> list[Tensor]:
        row = self.row
        stem = "backbone.input_stem.op_list"
        x = self.conv(f"{stem}.0", x, row.widths[0], 3, 2, act=True)
        for i in range(1, row.depths[0] + 1):
            x = x + self.ds(f"{stem}.{i}.main", x)
        maps = [x]
        for stage in (0, 1):
            for i in range(row.depths[stage + 1]):
                key = f"backbone.stages.{stage}.op_list.{i}.main"
                y = self.mb(key, x, row.widths[stage + 1], 4, 2 if i == 0 else 1)
                x = y if i == 0 else x + y
            maps.append(x)
        for stage in (2, 3):
            key = f"backbone.stages.{stage}.op_list"
            x = self.mb(f"{key}.0.main", x, row.widths[stage + 1], 4, 2, few=True)
            for i in range(1, row.depths[stage + 1] + 1):
                x = self.efficientvit(f"{key}.{i}", x, 4)
            maps.append(x)
        return maps

    def backbone_l(self, x: Tensor) -> list[Tensor]:
        row = self.row
        key = "backbone.stages.0.op_list"
        x = self.conv(f"{key}.0", x, row.widths[0], 3, 2, act=True)
        for i in range(1, row.depths[0] + 1):
            x = x + self.res(f"{key}.{i}.main", x)
        maps = [x]
        for stage in (1, 2, 3, 4):
            key = f"backbone.stages.{stage}.op_list"
            width = row.widths[stage]
            expand = (1, 4, 4, 4, 6)[stage]
            if stage < 3:
                x = self.fmb(f"{key}.0.main", x, width, 16, 2)
            else:
                x = self.mb(f"{key}.0.main", x, width, 4 * expand, 2, few=True)
            for i in range(1, row.depths[stage] + 1):
                if stage < 3:
                    x = x + self.fmb(f"{key}.{i}.main", x, width, expand)
                elif stage == 3:
                    x = x + self.mb(f"{key}.{i}.main", x, width, expand, few=True)
                else:
                    x = self.efficientvit(f"{key}.{i}", x, expand)
            maps.append(x)
        return maps

    def head(self, maps: list[Tensor]) -> Tensor:
        row = self.row
        total = torch.zeros(())
        for i, (x, factor) in enumerate(((maps[4], 4), (maps[3], 2), (maps[2], 1))):
            key = f"head.input_ops.{i}" + (".op_list.0" if factor > 1 else "")
            y = self.conv(key, x, row.head_width, 1)
            if factor > 1:
                y = F.interpolate(y, scale_factor=factor, mode="bicubic", align_corners=False)
            total = y if i == 0 else total + y
        x = total
        for i in range(row.head_depth):
            block = self.mb if row.family == "b" else self.fmb
            x = x + block(f"head.middle.op_list.{i}.main", x, row.head_width, row.head_expand)
        out = "head.output_ops.0.op_list"
        if row.final_expand is not None:
            x = self.conv(f"{out}.0", x, row.head_width * row.final_expand, 1, act=True)
        last = f"{out}.{0 if row.final_expand is None else 1}"
        return self.conv(last, x, row.classes, 1, bias=True, norm=False)

    def __call__(self, x: Tensor) -> Tensor:
        maps = self.backbone_b(x) if self.row.family == "b" else self.backbone_l(x)
        return self.head(maps)


def invent(row: Row, x: Tensor, seed: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    """A random checkpoint under official keys, and what the network makes of `x` (float64) with it."""
    weights = Invented(seed)
    logits = Network(row, weights)(x)
    return weights.tensors, logits


def shapes(row: Row) -> dict[str, list[int]]:
    """Every official key and its shape."""
    listed = Listed()
    Network(row, listed)(torch.empty(1, 3, 64, 64, dtype=torch.float64, device="meta"))
    return listed.shapes
