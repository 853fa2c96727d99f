"""Scores: update with one answer at a time, compute once, reset to begin again.

All that a score keeps are counts, so that the sum of several processes' states is exactly the state of one.
"""

from densevit.metrics.classification import ClassificationScore
from densevit.metrics.masks import MaskScore
from densevit.metrics.segmentation import IGNORE, SegmentationScore
from densevit.metrics.super_resolution import SuperResolutionScore, luma, psnr, ssim
from densevit.metrics.titles import METRIC_FORMATS, MetricFormat, find_metric_format, format_metric

__all__ = [
    "IGNORE",
    "METRIC_FORMATS",
    "ClassificationScore",
    "MaskScore",
    "MetricFormat",
    "SegmentationScore",
    "SuperResolutionScore",
    "find_metric_format",
    "format_metric",
    "luma",
    "psnr",
    "ssim",
]
