"""Samples in memory, the network in training, the teacher."""

import numpy as np
import pytest
import torch
from torch import nn

from densevit.core.errors import UsageError
from densevit.data.base import SegmentationSample
from densevit.models.build import create_model
from densevit.train import segmentation
from densevit.train.segmentation import Augmentation, Normalize, Samples, SegmentationTrainee
from densevit.train.teacher import SegmentationTeacher

CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Data:
    """Three images whose color tells the label."""

    class_names = ("a", "b", "c")
    palette = np.zeros((3, 3), np.uint8)

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> SegmentationSample:
        self.reads += 1
        labels = np.random.default_rng(index).integers(0, 3, (8, 12), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        labels[:16, :16] = 255
        image = np.where(labels == 255, 250, labels * 80).astype(np.uint8)
        return SegmentationSample(str(index), np.repeat(image[..., None], 3, axis=2), labels)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_samples_are_read_once():
    data = Data()
    samples = Samples(data, CPU)
    for _ in range(3):
        for index in range(3):
            image, labels = samples[index]
            assert (image.dtype, image.shape) == (torch.uint8, (3, 64, 96))
            np.testing.assert_array_equal(labels.numpy(), Data()[index].labels)
            np.testing.assert_array_equal(image.numpy().transpose(1, 2, 0), Data()[index].image)
    assert data.reads <= 4


def test_large_sets_are_read_again(monkeypatch):
    monkeypatch.setattr(segmentation, "CACHE_BYTES", 100)
    data = Data()
    samples = Samples(data, CPU)
    for _ in range(3):
        image, _ = samples[1]
        np.testing.assert_array_equal(image.numpy().transpose(1, 2, 0), Data()[1].image)
    assert data.reads >= 3


def test_class_counts():
    every = np.concatenate([Data()[index].labels.ravel() for index in range(3)])
    expected = [int((every == index).sum()) for index in range(3)]
    assert Samples(Data(), CPU).count_classes(3).tolist() == expected


def test_batches_keep_images_and_labels_together():
    samples = Samples(Data(), CPU)
    augmentation = Augmentation(crop=(32, 64), scale=(1, 2), color=0, target_stride=1)
    batch = samples.batch([0, 2, 2, 1], generator(), augmentation)
    assert batch.keys() == {"image", "labels"}
    assert (batch["image"].dtype, batch["image"].shape) == (torch.float32, (4, 3, 32, 64))
    assert (batch["labels"].dtype, batch["labels"].shape) == (torch.int64, (4, 32, 64))
    shade = torch.where(batch["labels"] == 255, 250, batch["labels"] * 80)
    difference = (batch["image"][:, 0] - shade).abs()
    # away from the borders between labels the color tells the label
    assert float((difference < 1).float().mean()) > 0.6
    assert not torch.equal(batch["labels"][1], batch["labels"][2])
    again = samples.batch([0, 2, 2, 1], generator(), augmentation)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    other = samples.batch([0, 2, 2, 1], generator(1), augmentation)
    assert not torch.equal(batch["labels"], other["labels"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": (0, 64)}, r"crop.*\(0, 64\)"),
        ({"crop": (32, 65)}, r"crop.*\(32, 65\)"),
        ({"scale": (0, 1)}, r"scale.*\(0, 1\)"),
        ({"scale": (2, 1)}, r"scale.*\(2, 1\)"),
        ({"scale": (1, float("nan"))}, "scale"),
        ({"color": -0.1}, r"color.*-0\.1"),
        ({"color": 1}, "color"),
    ],
)
def test_augmentations_that_cannot_be(change, message):
    right = {"crop": (32, 64), "scale": (0.5, 2), "color": 0.4, "target_stride": 2}
    Augmentation(**right)
    with pytest.raises(UsageError, match=message):
        Augmentation(**{**right, **change})


def test_target_stride():
    augmentation = Augmentation(crop=(32, 64), scale=(1, 1), color=0.5, target_stride=2)
    batch = Samples(Data(), CPU).batch([0], generator(), augmentation)
    assert batch["labels"].shape == (1, 16, 32)


def test_the_teachers_opinion_travels_along():
    asked = []

    def teacher(image: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(image.shape))
        # its opinion is the shade of the image, at stride 8
        shade = image[..., 0].float()[:, None] / 255
        return nn.functional.avg_pool2d(torch.cat([shade, 1 - shade], 1), 8).half()

    samples = Samples(Data(), CPU, teacher=teacher)
    assert asked == [(1, 64, 96, 3)] * 3
    augmentation = Augmentation(crop=(64, 96), scale=(1, 1), color=0, target_stride=2)
    for seed in range(4):
        batch = samples.batch([1], generator(seed), augmentation)
        assert (batch["soft"].dtype, batch["soft"].shape) == (torch.float32, (1, 2, 8, 12))
        shade = nn.functional.avg_pool2d(batch["image"][:, :1], 8) / 255
        torch.testing.assert_close(batch["soft"][:, :1], shade, rtol=0, atol=2e-3)
    assert len(asked) == 3


def test_the_trainee_is_the_network_behind_normalization():
    torch.manual_seed(0)
    network = create_model("seg-b0", classes=5).eval()
    image = 255 * torch.rand(1, 3, 64, 64)
    normalized = (image / 255 - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    with torch.no_grad():
        logits, imitation = SegmentationTrainee(network, Normalize(MEAN, STD)).eval()(image)
        assert imitation is None
        torch.testing.assert_close(logits, network(normalized), rtol=1e-4, atol=1e-4)
        trainee = SegmentationTrainee(network, Normalize(MEAN, STD), teacher_classes=7).eval()
        logits, imitation = trainee(image)
        assert logits.shape == (1, 5, 8, 8)
        assert imitation.shape == (1, 7, 8, 8)


class Shade(nn.Module):
    """Logits at stride 8 that depend on the place: mirrored images give mirrored answers."""

    def forward(self, x):
        assert x.shape[-2] % 32 == x.shape[-1] % 32 == 0
        pooled = nn.functional.avg_pool2d(x[:, :1], 8)
        return torch.cat([pooled, -pooled, torch.zeros_like(pooled)], 1)


def test_the_teacher_averages():
    teacher = SegmentationTeacher(Shade(), Normalize(MEAN, STD), classes=3, scales=(1.0, 2.0))
    image = torch.from_numpy(Data()[0].image)[None]
    got = teacher(image)
    assert (got.dtype, got.shape) == (torch.float16, (1, 3, 8, 12))
    torch.testing.assert_close(got.float().sum(1), torch.ones(1, 8, 12), rtol=0, atol=2e-3)
    expected = Shade()(Normalize(MEAN, STD)(image.permute(0, 3, 1, 2))).softmax(1)
    # blocks of 8 x 8: every enlargement and mirroring says much the same
    assert float((got.float() - expected).abs().mean()) < 0.06
    torch.testing.assert_close(teacher(image.flip(2)).float(), got.float().flip(-1), rtol=0, atol=2e-3)


def test_one_enlargement_is_exact():
    teacher = SegmentationTeacher(Shade(), Normalize(MEAN, STD), classes=3, scales=(1.0,))
    image = torch.from_numpy(Data()[0].image)[None]
    expected = Shade()(Normalize(MEAN, STD)(image.permute(0, 3, 1, 2))).softmax(1)
    torch.testing.assert_close(teacher(image).float(), expected, rtol=0, atol=1e-3)
