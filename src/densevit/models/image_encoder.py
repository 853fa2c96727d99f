"""The image encoder of EfficientViT-SAM: backbone, neck, channel norm (arXiv 2402.05008, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from densevit.models.backbone import Backbone, Feature, of_strides
from densevit.models.blocks import residual_stack
from densevit.models.channel_norm import ChannelNorm
from densevit.models.fusion import Fusion
from densevit.models.layers import ConvNorm
from densevit.variants import EfficientViTEncoderTable, NeckTable


class Neck(nn.Module):
    """Fuses the maps of three strides into one embedding at the finest of them.

    Args:
        table: widths, depth, strides.
        features: the backbone's features, finest first.
        norm_eps: epsilon of the BatchNorms.
    """

    def __init__(self, table: NeckTable, features: Sequence[Feature], *, norm_eps: float) -> None:
        super().__init__()
        self.inputs = of_strides(features, table.strides)
        self.fusion = Fusion([features[i] for i in self.inputs], table.width, norm_eps=norm_eps)
        self.middle = residual_stack(table, norm_eps=norm_eps)
        self.output = ConvNorm(table.width, table.embedding, 1, norm=False, bias=True)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps of the backbone, finest first -> (B, embedding, h, w)."""
        out: Tensor = self.output(self.middle(self.fusion([maps[i] for i in self.inputs])))
        return out


class ImageEncoder(nn.Module):
    """Encodes an image as the embedding that the mask decoder reads.

    Args:
        table: of the backbone and the neck.
        in_channels: channels of the image.
    """

    def __init__(self, table: EfficientViTEncoderTable, *, in_channels: int = 3) -> None:
        super().__init__()
        self.backbone = Backbone(table.backbone, in_channels=in_channels)
        self.neck = Neck(table.neck, self.backbone.features, norm_eps=table.backbone.norm_eps)
        self.norm = ChannelNorm(table.neck.embedding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) normalized image, zeros where it was padded -> (B, 256, 64, 64) embedding."""
        out: Tensor = self.norm(self.neck(self.backbone(x)))
        return out
