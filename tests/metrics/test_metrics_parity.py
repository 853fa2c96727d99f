"""The scores equal those of torchmetrics, on random answers with ignored pixels and absent classes."""

import numpy as np
import pytest
import torch

from densevit.metrics import IGNORE, ClassificationScore, SegmentationScore
from helpers.torchvision_shim import make_torchvision_importable


@pytest.fixture(scope="module")
def metrics():
    """Imported when they are needed: it takes seconds."""
    make_torchvision_importable()  # torchmetrics imports torchvision where it is installed
    from torchmetrics import classification

    return classification


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 7, 19])
def test_mean_iou(metrics, classes, seed):
    generator = np.random.default_rng(seed)
    present = generator.permutation(classes)[: max(1, classes - 3)]
    ours = SegmentationScore(list(map(str, range(classes))))
    mean = metrics.MulticlassJaccardIndex(classes, average="macro", ignore_index=IGNORE)
    each = metrics.MulticlassJaccardIndex(classes, average="none", ignore_index=IGNORE)
    right = metrics.MulticlassAccuracy(classes, average="micro", ignore_index=IGNORE)
    for _ in range(3):
        target = generator.choice(present, (40, 50)).astype(np.uint8)
        noise = generator.choice(present, (40, 50)).astype(np.uint8)
        labels = np.where(generator.random((40, 50)) < 0.6, target, noise)
        target[generator.random((40, 50)) < 0.2] = IGNORE
        ours.update(labels, target)
        for metric in (mean, each, right):
            metric.update(torch.from_numpy(labels.astype(np.int64)), torch.from_numpy(target.astype(np.int64)))
    got = ours.compute()
    assert got["miou"] / 100 == pytest.approx(mean.compute().item(), abs=1e-6)
    assert got["pixel_accuracy"] / 100 == pytest.approx(right.compute().item(), abs=1e-6)
    values = [0.0 if value is None else value / 100 for value in got["iou_per_class"].values()]
    np.testing.assert_allclose(values, each.compute().numpy(), atol=1e-6)
    absent = [value is None for value in got["iou_per_class"].values()]
    assert [index for index, known in enumerate(absent) if not known] == sorted(present)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [6, 100, 1000])
def test_top_accuracies(metrics, classes, seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(300, classes)).astype(np.float32)
    targets = generator.integers(0, classes, 300)
    logits[np.arange(300), targets] += generator.uniform(0, 4, 300)
    ours = ClassificationScore(classes)
    for row, target in zip(logits, targets, strict=True):
        ours.update(row, int(target))
    got = ours.compute()
    for key, top in (("top1", 1), ("top5", 5)):
        theirs = metrics.MulticlassAccuracy(classes, top_k=top, average="micro")
        theirs.update(torch.from_numpy(logits), torch.from_numpy(targets))
        assert got[key] / 100 == pytest.approx(theirs.compute().item(), abs=1e-6)
