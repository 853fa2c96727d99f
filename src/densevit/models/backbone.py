"""The one backbone: a stem and stages read from a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from densevit.core.errors import UsageError
from densevit.models.blocks import EfficientViTModule, residual_block
from densevit.models.layers import ConvNorm
from densevit.variants import BackboneTable, Stage


@dataclass(frozen=True)
class Feature:
    """The output of a stage: its channels, and the input pixels per axis that one position spans."""

    channels: int
    stride: int


def of_strides(features: Sequence[Feature], strides: Sequence[int]) -> tuple[int, ...]:
    """Which of the features have those strides, in their order.

    Raises:
        ValueError: no feature has one of the strides.
    """
    by_stride = {feature.stride: index for index, feature in enumerate(features)}
    if missing := set(strides) - by_stride.keys():
        raise ValueError(f"the backbone has no feature of stride {sorted(missing)}")
    return tuple(by_stride[stride] for stride in strides)


class Backbone(nn.Module):
    """EfficientViT's backbone (paper, section 2.2).

    Args:
        table: a row of `densevit.variants.BACKBONES`.
        in_channels: channels of the input.
    """

    def __init__(self, table: BackboneTable, *, in_channels: int = 3) -> None:
        super().__init__()
        if in_channels < 1:
            raise UsageError(f"in_channels must be at least 1, got {in_channels}")
        self.table = table
        strides = [table.stem_stride * 2**index for index in range(len(table.stages))]
        self.features = tuple(
            Feature(stage.width, stride) for stage, stride in zip(table.stages, strides, strict=True)
        )
        stages: list[nn.Module] = []
        channels = in_channels
        for stage in table.stages:
            stages.append(self._stage(channels, stage, 2 if stages else table.stem_stride))
            channels = stage.width
        self.stages = nn.ModuleList(stages)

    def _stage(self, channels_in: int, stage: Stage, stride: int) -> nn.Sequential:
        table = self.table
        block = partial(
            residual_block,
            fewer_norm=stage.fewer_norm,
            activation=table.activation,
            norm_eps=table.norm_eps,
            norm=table.norm,
        )
        down: nn.Module
        if stage.down == "conv":
            down = ConvNorm(
                channels_in,
                stage.width,
                3,
                stride=stride,
                norm=table.norm,
                bias=not table.norm,
                activation=table.activation,
                norm_eps=table.norm_eps,
            )
        else:
            down = block(stage.down, channels_in, stage.width, expand=stage.down_expand, stride=stride)
        if stage.block == "att":
            rest: list[nn.Module] = [EfficientViTModule(stage.width, stage, table) for _ in range(stage.depth)]
        else:
            rest = [block(stage.block, stage.width, stage.width, expand=stage.expand) for _ in range(stage.depth)]
        return nn.Sequential(down, *rest)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) normalized image -> list of (B, C_i, H / stride_i, W / stride_i), finest first.

        `features` tells channels and strides. Sides that are not multiples of a stride are rounded up.
        """
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
