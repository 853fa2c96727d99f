"""Scores: update with one result at a time, compute once, reset to start again.

A score keeps only integer counts, so that the sum of several processes' states equals the state of one process.
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
