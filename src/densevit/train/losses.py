"""Losses of segmentation; logits and targets may have any size, as long as it is the same."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def compute_class_weights(counts: Tensor) -> Tensor:
    """Weight of each class, 1 / log(1.1 + share), scaled to a mean of one (after ENet, section 5.1).

    Args:
        counts: (C,) number of pixels per class in the training set.
    """
    share = counts.double() / counts.sum().clamp_min(1)
    weights = 1 / torch.log(1.1 + share)
    return (weights / weights.mean()).float()


def cross_entropy(logits: Tensor, target: Tensor, *, weight: Tensor | None, ignore: int) -> Tensor:
    """Weighted mean over the labeled pixels; zero without any.

    Args:
        logits: (B, C, h, w).
        target: (B, h, w) int64.
        weight: (C,) or None.
        ignore: target value of unlabeled pixels.
    """
    if not bool((target != ignore).any()):
        return logits.sum() * 0
    return F.cross_entropy(logits.float(), target, weight=weight, ignore_index=ignore)


def hard_cross_entropy(
    logits: Tensor, target: Tensor, *, weight: Tensor | None, ignore: int, share: float = 0.25
) -> Tensor:
    """Mean over the `share` of the labeled pixels with the largest loss (online hard example mining)."""
    losses = F.cross_entropy(logits.float(), target, weight=weight, ignore_index=ignore, reduction="none")
    losses = losses[target != ignore]
    if losses.numel() == 0:
        return logits.sum() * 0
    return losses.topk(max(1, int(share * losses.numel()))).values.mean()


def soft_dice(logits: Tensor, target: Tensor, *, ignore: int) -> Tensor:
    """One minus the soft Dice overlap, averaged over the classes that the batch contains.

    Args:
        logits: (B, C, h, w).
        target: (B, h, w) int64.
        ignore: target value of unlabeled pixels.
    """
    known = target != ignore
    if not bool(known.any()):
        return logits.sum() * 0
    classes = logits.shape[1]
    truth = torch.where(known, target, 0)
    probabilities = logits.float().softmax(dim=1) * known.unsqueeze(1)
    # only the true class's probability overlaps, so no one-hot array of the logits' size is needed
    of_truth = probabilities.gather(1, truth.unsqueeze(1)).squeeze(1)
    overlap = torch.zeros(classes, device=logits.device).index_add(0, truth.flatten(), of_truth.flatten())
    counts = torch.bincount(target[known], minlength=classes)
    mass = probabilities.sum(dim=(0, 2, 3)) + counts
    return (1 - 2 * overlap / mass.clamp_min(1))[counts > 0].mean()


def distillation(logits: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the teacher's probabilities, mean over positions.

    Args:
        logits: (B, C, h, w) of the student.
        teacher: (B, C, h, w) probabilities.
    """
    student = logits.float().log_softmax(dim=1)
    return F.kl_div(student, teacher, reduction="none").sum(dim=1).mean()
