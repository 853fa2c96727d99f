"""Losses of predicted masks at points where they are uncertain, and of the prediction of their quality.

EfficientViT-SAM's second stage (arXiv 2402.05008, section 3.2): 20 times binary cross entropy and the Dice loss,
at the points of PointRend (Kirillov et al. 2020, arXiv 1912.08193, section 3.1), of the best mask per prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def values_at(maps: Tensor, points: Tensor) -> Tensor:
    """Maps between their cells, bilinearly; beyond the outermost centers they go on as they are there.

    Args:
        maps: (K, H, W) float.
        points: (K, P, 2) float (x, y) as shares 0..1 of width and height.

    Returns:
        (K, P).
    """
    grid = 2 * points[:, None] - 1
    return F.grid_sample(maps[:, None], grid, padding_mode="border", align_corners=False)[:, 0, 0]


@torch.no_grad()
def uncertain_points(logits: Tensor, count: int, *, oversample: float = 3.0, importance: float = 0.75) -> Tensor:
    """Random points of each map, most of them where its logits are nearest to 0.

    Args:
        logits: (K, H, W) float.
        count: P of the points.
        oversample: so many times as many are drawn to choose from.
        importance: share of the points that are chosen; the others are drawn evenly.

    Returns:
        (K, P, 2) float (x, y) as shares 0..1 of width and height.
    """
    maps = len(logits)
    chosen = int(importance * count)
    drawn = torch.rand(maps, int(oversample * count), 2, device=logits.device)
    nearest = values_at(logits, drawn).abs().topk(chosen, dim=1, largest=False).indices
    kept = drawn.gather(1, nearest.unsqueeze(-1).expand(-1, -1, 2))
    return torch.cat([kept, torch.rand(maps, count - chosen, 2, device=logits.device)], dim=1)


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """(K, P) logits and shares 0..1 -> (K,) mean binary cross entropy."""
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=1)


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """(K, P) logits and shares 0..1 -> (K,) one minus the soft Dice overlap, with 1 added above and below."""
    inside = logits.sigmoid()
    return 1 - (2 * (inside * truth).sum(dim=1) + 1) / (inside.sum(dim=1) + truth.sum(dim=1) + 1)


def actual_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of masks with true ones, cell by cell.

    Args:
        logits: (N, M, H, W); the masks are where they exceed 0.
        truth: (N, H, W) bool.

    Returns:
        (N, M) float32, 0..1; 0 where both are empty.
    """
    found, wanted = logits > 0, truth[:, None]
    common = (found & wanted).sum(dim=(2, 3))
    union = (found | wanted).sum(dim=(2, 3))
    return common / union.clamp_min(1)


@dataclass(frozen=True)
class MaskLoss:
    """Of each prompt the loss of its best mask, and the error of the scores of all that were asked for.

    The released training leaves the scores out, so that they go on predicting the quality that masks once had.

    Attributes:
        cross_entropy: weight of the binary cross entropy.
        dice: weight of the Dice loss.
        score: weight of the squared error of the predicted intersection over union.
        points: per mask.
    """

    cross_entropy: float = 20.0
    dice: float = 1.0
    score: float = 1.0
    points: int = 112 * 112

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """-> "loss" and its parts, means over prompts; `batch` as of `densevit.train.promptable`."""
        logits, scores = model(*(batch[name] for name in ("image", "points", "labels", "prompts", "tokens")))
        # one mask for a clear prompt, or the three of an ambiguous one
        asked = slice(1, None) if bool(batch["multimask"]) else slice(0, 1)
        return self.of_masks(logits[:, asked].float(), scores[:, asked].float(), batch["masks"])

    def of_masks(self, logits: Tensor, scores: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """The same of what was predicted.

        Args:
            logits: (N, M, H, W) float32.
            scores: (N, M) float32.
            masks: (N, H, W) uint8, 255 where the true mask covers all of a cell.

        Returns:
            "loss", the weighted sum of "cross_entropy" and "dice" of the mask that has least of both together, and
            of "score"; "iou" is the mean of the best masks, for the log.
        """
        truth = masks.float() / 255
        prompts, several = logits.shape[:2]
        maps = logits.flatten(0, 1)
        points = uncertain_points(maps, self.points)
        found = values_at(maps, points)
        # one true map for the points of all its masks
        wanted = values_at(truth, points.reshape(prompts, -1, 2)).reshape(len(maps), -1)
        entropies = cross_entropy(found, wanted).reshape(prompts, several)
        dices = dice(found, wanted).reshape(prompts, several)
        best = (self.cross_entropy * entropies + self.dice * dices).argmin(dim=1, keepdim=True)
        actual = actual_iou(logits.detach(), truth >= 0.5)
        parts = {
            "cross_entropy": entropies.gather(1, best).mean(),
            "dice": dices.gather(1, best).mean(),
            "score": F.mse_loss(scores, actual),
        }
        total = (
            self.cross_entropy * parts["cross_entropy"] + self.dice * parts["dice"] + self.score * parts["score"]
        )
        return {"loss": total, **parts, "iou": actual.gather(1, best).mean()}
