"""The super-resolution networks that the paper's Table 5 compares with, as far as their weights are at hand.

Written after the publications (VapSR, arXiv 2210.05960; BSRN, CVPR workshops 2022), named after the keys of the
published state dicts, so that these load strictly.

    python benchmarks/peers.py --weights vapsr_x2.pth bsrn_x2.pth --images DIR/train --out DIR/teacher

downscales each high-resolution image, enlarges it with every network and writes the mean as 16-bit PNG: what the
recipe `sr_x2` takes as a teacher's images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densevit import imaging
from densevit.imaging import Photo, save_photo
from densevit.tasks.super_resolution import crop_to_multiple, downscale


class _VastAttention(nn.Module):
    """A pixel's weight from its neighborhood of 17x17: two depthwise 5x5, the second with holes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.depthwise_dilated = nn.Conv2d(channels, channels, 5, padding=6, dilation=3, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.depthwise_dilated(self.depthwise(self.pointwise(x)))
        return out


class _VapBlock(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj_1 = nn.Conv2d(channels, inner, 1)
        self.atten_branch = _VastAttention(inner)
        self.proj_2 = nn.Conv2d(inner, channels, 1)
        self.pixel_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = x + self.proj_2(self.atten_branch(F.gelu(self.proj_1(x))))
        normed: Tensor = self.pixel_norm(out.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class VapSR(nn.Module):
    """VapSR x2: 20 blocks at the input's resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, 48, 3, padding=1)
        self.body = nn.Sequential(*(_VapBlock(48, 64) for _ in range(20)))
        self.conv_body = nn.Conv2d(48, 48, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(48, 56, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(56, 12, 3, padding=1), nn.PixelShuffle(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B, 3, 2H, 2W)."""
        first = self.conv_first(x)
        out: Tensor = self.upsampler(first + self.conv_body(self.body(first)))
        return out


class _Blueprint(nn.Module):
    """A 1x1 convolution, then a depthwise 3x3."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.pw = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.dw = nn.Conv2d(channels_out, channels_out, 3, stride=stride, padding=padding, groups=channels_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dw(self.pw(x))
        return out


class _SpatialAttention(nn.Module):
    """Pixel weights from a map of a sixth of the size (ESA)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.conv_f = nn.Conv2d(inner, inner, 1)
        self.conv_max = _Blueprint(inner, inner)
        self.conv2 = _Blueprint(inner, inner, stride=2, padding=0)
        self.conv3 = _Blueprint(inner, inner)
        self.conv3_ = _Blueprint(inner, inner)
        self.conv4 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.conv1(x)
        small = F.max_pool2d(self.conv2(reduced), 7, 3)
        small = self.conv3_(F.gelu(self.conv3(F.gelu(self.conv_max(small)))))
        small = F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(small + self.conv_f(reduced)))


class _ContrastAttention(nn.Module):
    """Channel weights from mean plus standard deviation (CCA)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, channels // 16, 1), nn.ReLU(), nn.Conv2d(channels // 16, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        deviation = (x - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
        out: Tensor = x * self.conv_du(deviation + mean)
        return out


class _DistillationBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.c1_d = nn.Conv2d(channels, half, 1)
        self.c1_r = _Blueprint(channels, channels)
        self.c2_d = nn.Conv2d(channels, half, 1)
        self.c2_r = _Blueprint(channels, channels)
        self.c3_d = nn.Conv2d(channels, half, 1)
        self.c3_r = _Blueprint(channels, channels)
        self.c4 = _Blueprint(channels, half)
        self.c5 = nn.Conv2d(4 * half, channels, 1)
        self.esa = _SpatialAttention(channels, 16)
        self.cca = _ContrastAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        kept, rest = [], x
        for keep, refine in ((self.c1_d, self.c1_r), (self.c2_d, self.c2_r), (self.c3_d, self.c3_r)):
            kept.append(F.gelu(keep(rest)))
            rest = F.gelu(refine(rest) + rest)
        out = self.c5(torch.cat([*kept, F.gelu(self.c4(rest))], dim=1))
        return x + self.cca(self.esa(out))


class BSRN(nn.Module):
    """BSRN x2: eight distillation blocks at the input's resolution, all of them read at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.fea_conv = _Blueprint(12, 64)
        for index in range(1, 9):
            setattr(self, f"B{index}", _DistillationBlock(64))
        self.c1 = nn.Conv2d(8 * 64, 64, 1)
        self.c2 = _Blueprint(64, 64)
        pixels = nn.Sequential(nn.Conv2d(64, 12, 3, padding=1), nn.PixelShuffle(2))
        self.upsampler = nn.ModuleDict({"upsampleOneStep": pixels})

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B, 3, 2H, 2W)."""
        first = self.fea_conv(torch.cat([x] * 4, dim=1))
        maps, rest = [], first
        for index in range(1, 9):
            rest = getattr(self, f"B{index}")(rest)
            maps.append(rest)
        fused = self.c2(F.gelu(self.c1(torch.cat(maps, dim=1)))) + first
        out: Tensor = self.upsampler["upsampleOneStep"](fused)
        return out


def load_peer(path: Path) -> nn.Module:
    """The network whose published weights `path` holds, told by its keys."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("params_ema", state.get("params"))
    network: nn.Module = VapSR() if "conv_first.weight" in state else BSRN()
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def main() -> None:
    """Write the teacher's images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, nargs="+", required=True)
    parser.add_argument("--images", required=True, help="folder of high-resolution images")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    networks = [load_peer(path) for path in options.weights]
    options.out.mkdir(parents=True, exist_ok=True)
    for source in imaging.find_images([options.images])[0]:
        low = downscale(crop_to_multiple(imaging.read(source.path), 2), 2)
        x = torch.from_numpy(low.transpose(2, 0, 1)[None] / np.float32(255))
        mean = torch.stack([network(x) for network in networks]).mean(dim=0)[0].clamp(0, 1)
        pixels = mean.mul(65535).round().permute(1, 2, 0).numpy().astype(np.uint16)
        save_photo(Photo(pixels), options.out / f"{source.stem.name}.png")


if __name__ == "__main__":
    main()
