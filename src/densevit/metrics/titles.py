"""How each metric is shown to people: its title, unit and number of digits, for every verb and page."""

from __future__ import annotations

from typing import NamedTuple


class MetricFormat(NamedTuple):
    """How a metric is shown."""

    title: str
    unit: str  # empty for a plain number
    digits: int  # behind the decimal point


METRIC_FORMATS: dict[str, MetricFormat] = {
    "miou": MetricFormat("mean IoU", "%", 2),
    "pixel_accuracy": MetricFormat("pixel accuracy", "%", 2),
    "top1": MetricFormat("top-1", "%", 2),
    "top5": MetricFormat("top-5", "%", 2),
    "psnr_y": MetricFormat("PSNR on Y", "dB", 2),
    "ssim_y": MetricFormat("SSIM on Y", "", 4),
    "iou": MetricFormat("mask IoU", "%", 2),
    "iou_small": MetricFormat("mask IoU (small)", "%", 2),
    "iou_medium": MetricFormat("mask IoU (medium)", "%", 2),
    "iou_large": MetricFormat("mask IoU (large)", "%", 2),
    "ap": MetricFormat("mask AP", "%", 2),
    "ap50": MetricFormat("mask AP50", "%", 2),
    "ap75": MetricFormat("mask AP75", "%", 2),
    "ap_small": MetricFormat("mask AP (small)", "%", 2),
    "ap_medium": MetricFormat("mask AP (medium)", "%", 2),
    "ap_large": MetricFormat("mask AP (large)", "%", 2),
    "coco_ap": MetricFormat("COCO AP", "%", 2),
    "lvis_ap": MetricFormat("LVIS AP", "%", 2),
    "mse": MetricFormat("embedding MSE", "", 6),
    "cosine": MetricFormat("embedding cosine", "%", 2),
}
"""By the key that scores, JSON reports and manifests use. Titles are at most 20 characters long."""


def find_metric_format(key: str) -> MetricFormat:
    """The format of a metric; an unknown one, of a user's recipe, keeps its key as title and gets four digits."""
    return METRIC_FORMATS.get(key, MetricFormat(key, "", 4))


def format_metric(key: str, value: float | None) -> str:
    """The value with its digits and unit, such as "70.79 %"; "absent" for None."""
    if value is None:
        return "absent"
    _, unit, digits = find_metric_format(key)
    return f"{value:.{digits}f} {unit}".rstrip()
