"""MobileSAM's image encoder in float64, window by window, from the facts about its weights and not from ours."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.reference import Given, Invented, Listed

EPS = 1e-5
EMBEDDING_EPS = 1e-6


@dataclass(frozen=True)
class Stage:
    width: int
    depth: int
    heads: int  # 0: convolutions
    window: int
    stride: int  # of the step behind it


MOBILE_SAM = (Stage(64, 2, 0, 0, 2), Stage(128, 2, 4, 7, 2), Stage(160, 6, 5, 14, 1), Stage(320, 2, 10, 7, 0))


class Encoder:
    """The encoder as one walk over the file's keys, all of which begin with `image_encoder.`."""

    def __init__(self, stages: tuple[Stage, ...], weights: Given | Invented | Listed, *, embedding: int = 256):
        self.stages = stages
        self.embedding = embedding
        self.weights = lambda key, *shape: weights(f"image_encoder.{key}", *shape)

    def __call__(self, x: Tensor) -> Tensor:
        x = self.conv("patch_embed.seq.0", x, self.stages[0].width // 2, 3, 2)
        x = self.conv("patch_embed.seq.2", gelu(x), self.stages[0].width, 3, 2)
        for i, stage in enumerate(self.stages):
            for j in range(stage.depth):
                block = self.attention_block if stage.heads else self.mbconv
                x = block(f"layers.{i}.blocks.{j}", x, stage)
            if stage.stride:
                x = self.triple(f"layers.{i}.downsample", x, *[self.stages[i + 1].width] * 2, stage.stride)
        x = F.conv2d(x, self.weights("neck.0.weight", self.embedding, x.shape[1], 1, 1))
        x = self.channel_norm("neck.1", x)
        x = F.conv2d(x, self.weights("neck.2.weight", self.embedding, self.embedding, 3, 3), padding=1)
        return self.channel_norm("neck.3", x)

    def conv(self, key: str, x: Tensor, out: int, kernel: int, stride: int = 1, groups: int = 1) -> Tensor:
        weight = self.weights(f"{key}.c.weight", out, x.shape[1] // groups, kernel, kernel)
        x = F.conv2d(x, weight, stride=stride, padding=kernel // 2, groups=groups)
        scale, shift, mean, var = (
            self.weights(f"{key}.bn.{name}", out).view(1, -1, 1, 1)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        self.weights(f"{key}.bn.num_batches_tracked")
        return (x - mean) / torch.sqrt(var + EPS) * scale + shift

    def triple(self, key: str, x: Tensor, middle: int, out: int, stride: int = 1) -> Tensor:
        x = gelu(self.conv(f"{key}.conv1", x, middle, 1))
        x = gelu(self.conv(f"{key}.conv2", x, middle, 3, stride, middle))
        return self.conv(f"{key}.conv3", x, out, 1)

    def mbconv(self, key: str, x: Tensor, stage: Stage) -> Tensor:
        return gelu(x + self.triple(key, x, 4 * stage.width, stage.width))

    def attention_block(self, key: str, x: Tensor, stage: Stage) -> Tensor:
        width = stage.width
        x = x + self.attention(f"{key}.attn", x, stage)
        x = self.conv(f"{key}.local_conv", x, width, 3, groups=width)
        tokens = self.layer_norm(f"{key}.mlp.norm", x.permute(0, 2, 3, 1))
        tokens = gelu(self.linear(f"{key}.mlp.fc1", tokens, 4 * width))
        return x + self.linear(f"{key}.mlp.fc2", tokens, width).permute(0, 3, 1, 2)

    def attention(self, key: str, x: Tensor, stage: Stage) -> Tensor:
        height, width = x.shape[-2:]
        side = stage.window
        bottom, right = -height % side, -width % side
        x = F.pad(x, (0, right, 0, bottom))
        out = torch.zeros_like(x)
        for top in range(0, height, side):
            for left in range(0, width, side):
                window = x[:, :, top : top + side, left : left + side]
                tokens = window.flatten(2).transpose(1, 2)
                answer = self.attend(key, tokens, stage).transpose(1, 2).reshape(window.shape)
                out[:, :, top : top + side, left : left + side] = answer
        return out[:, :, :height, :width]

    def attend(self, key: str, tokens: Tensor, stage: Stage) -> Tensor:
        """(B, N, C) of one window."""
        dim = stage.width // stage.heads
        biases = self.weights(f"{key}.attention_biases", stage.heads, stage.window**2)
        qkv = self.linear(f"{key}.qkv", self.layer_norm(f"{key}.norm", tokens), 3 * stage.width)
        index = torch.tensor(bias_index(stage.window))
        heads = []
        for head in range(stage.heads):
            q, k, v = qkv[..., head * 3 * dim : (head + 1) * 3 * dim].split(dim, dim=-1)
            logits = torch.einsum("bnd,bmd->bnm", q, k) / math.sqrt(dim) + biases[head][index]
            weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
            heads.append(torch.einsum("bnm,bmd->bnd", weights, v))
        return self.linear(f"{key}.proj", torch.cat(heads, dim=-1), stage.width)

    def linear(self, key: str, x: Tensor, out: int) -> Tensor:
        return x @ self.weights(f"{key}.weight", out, x.shape[-1]).T + self.weights(f"{key}.bias", out)

    def layer_norm(self, key: str, x: Tensor, eps: float = EPS) -> Tensor:
        centerd = x - x.mean(-1, keepdim=True)
        normed = centerd / torch.sqrt((centerd**2).mean(-1, keepdim=True) + eps)
        return normed * self.weights(f"{key}.weight", x.shape[-1]) + self.weights(f"{key}.bias", x.shape[-1])

    def channel_norm(self, key: str, x: Tensor) -> Tensor:
        return self.layer_norm(key, x.permute(0, 2, 3, 1), EMBEDDING_EPS).permute(0, 3, 1, 2)


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def bias_index(window: int) -> list[list[int]]:
    """Distances, numbered as they first appear when all pairs of positions are walked."""
    positions = [(y, x) for y in range(window) for x in range(window)]
    numbers: dict[tuple[int, int], int] = {}
    rows = []
    for y, x in positions:
        row = []
        for other_y, other_x in positions:
            row.append(numbers.setdefault((abs(y - other_y), abs(x - other_x)), len(numbers)))
        rows.append(row)
    return rows
