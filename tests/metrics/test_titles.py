"""Titles, units and digits of metrics, which every verb shows alike."""

import numpy as np
import pytest

from densevit.metrics import (
    METRIC_FORMATS,
    ClassificationScore,
    MaskScore,
    SegmentationScore,
    SuperResolutionScore,
    find_metric_format,
    format_metric,
)
from densevit.zoo import ZOO


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("miou", 70.788, "70.79 %"),
        ("psnr_y", 31.5678, "31.57 dB"),
        ("ssim_y", 0.90123, "0.9012"),
        ("mse", 0.001234, "0.001234"),
        ("cosine", 98.765, "98.77 %"),
        ("ap_small", None, "absent"),
        ("my_score", 0.123456, "0.1235"),
        ("top1", float("nan"), "nan %"),
    ],
)
def test_a_value_with_its_digits_and_unit(key: str, value: float | None, text: str) -> None:
    assert format_metric(key, value) == text


def test_an_unknown_metric_keeps_its_key() -> None:
    assert find_metric_format("my_score").title == "my_score"


def test_every_score_and_every_published_figure_has_a_title() -> None:
    scores = (SegmentationScore(["a"]), ClassificationScore(1), SuperResolutionScore(2), MaskScore())
    computed = {key for score in scores for key in score.compute()} - {"iou_per_class"}
    published = {key for entry in ZOO.values() for key in entry.published}
    assert computed | published <= set(METRIC_FORMATS)


def test_titles_fit_their_column_and_are_distinct() -> None:
    titles = [entry.title for entry in METRIC_FORMATS.values()]
    assert max(map(len, titles)) <= 20
    assert len(set(titles)) == len(titles)


def test_small_scores_do_not_become_zero() -> None:
    # two digits printed SSIM as 0.90 and mse as 0.00
    assert float(format_metric("mse", 0.0021)) == pytest.approx(0.0021)
    assert float(format_metric("ssim_y", np.float64(0.9049))) == pytest.approx(0.9049)
