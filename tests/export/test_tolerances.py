"""What a file or a precision may lose."""

import numpy as np
import pytest

from densevit.export import TOLERANCES, find_tolerance, find_verified


def test_rounding_grows_with_the_values():
    assert find_tolerance(np.zeros(3, np.float32)) == TOLERANCES["fp32"]
    assert find_tolerance(np.full(3, -50, np.float32)) == 2 * TOLERANCES["fp32"]
    assert find_tolerance(np.zeros(3, np.float32), "bf16") == TOLERANCES["bf16"]


@pytest.mark.parametrize(
    ("lost", "verified"),
    [
        ({"miou": 0.099}, True),
        ({"miou": 0.101}, False),
        ({"miou": -1}, True),
        ({"psnr_y": 0.019}, True),
        ({"psnr_y": 0.021}, False),
        ({"top1": 0.09, "top5": 9}, True),
        ({"iou": 0.2, "iou_small": 0}, False),
    ],
)
def test_a_precision_is_verified_by_the_leading_score(lost, verified):
    scores = {"fp32": dict.fromkeys(lost, 50.0), "bf16": {name: 50 - value for name, value in lost.items()}}
    assert find_verified(scores) == (["fp32", "bf16"] if verified else ["fp32"])


def test_scores_must_have_a_reference():
    with pytest.raises(ValueError, match="fp32 must have one of miou"):
        find_verified({"bf16": {"miou": 1}})
    with pytest.raises(ValueError, match="fp32 must have one of miou"):
        find_verified({"fp32": {"unknown": 1}})
