"""The teacher's part in the loss."""

import pytest
import torch
from torch import nn

from densevit.train.segmentation import SegmentationLoss

LOSS = SegmentationLoss("cross_entropy", None, dice=0.0, distillation=1.0, teacher_map=(0, 1, 1))


class Fixed(nn.Module):
    """Answers with logits and an imitation that were given."""

    def __init__(self, logits, imitation):
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.imitation = imitation

    def forward(self, image):
        return self.logits, self.imitation


def batch(labels, soft):
    return {"image": torch.zeros(len(labels), 3, 32, 32), "labels": labels, "soft": soft}


def test_an_unlabeled_image_pulls_the_classifier_towards_the_translated_teacher():
    soft = torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    labels = torch.zeros(2, 4, 4, dtype=torch.int64)
    labels[1] = 255
    imitation = soft.log()
    translated = torch.tensor([0.2, 0.8]).log().view(1, 2, 1, 1).expand(1, 2, 4, 4)
    agreeing = Fixed(torch.cat([torch.zeros(1, 2, 4, 4), translated]), imitation)
    parts = LOSS(agreeing, batch(labels, soft))
    assert parts["distillation"].item() == pytest.approx(0, abs=1e-6)
    assert parts["unlabeled"].item() == pytest.approx(0, abs=1e-6)

    differing = Fixed(torch.zeros(2, 2, 4, 4), imitation)
    parts = LOSS(differing, batch(labels, soft))
    expected = 0.2 * torch.tensor(0.4).log() + 0.8 * torch.tensor(1.6).log()
    assert parts["unlabeled"].item() == pytest.approx(expected.item(), abs=1e-6)
    # half of the batch is unlabeled
    total = parts["cross_entropy"] + parts["distillation"] + 0.5 * parts["unlabeled"]
    assert parts["loss"].item() == pytest.approx(total.item(), abs=1e-6)
    parts["loss"].backward()
    assert differing.logits.grad[1, 1].max() < 0


def test_labeled_images_leave_the_classifier_to_their_labels():
    soft = torch.full((1, 3, 4, 4), 1 / 3)
    parts = LOSS(Fixed(torch.zeros(1, 2, 4, 4), soft.log()), batch(torch.zeros(1, 4, 4, dtype=torch.int64), soft))
    assert "unlabeled" not in parts
