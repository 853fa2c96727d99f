"""Losses of predicted masks at uncertain points, and of their predicted quality.

EfficientViT-SAM's second stage (arXiv 2402.05008, section 3.2): 20 times binary cross entropy plus the Dice
loss of the best mask per prompt, at the points of PointRend (Kirillov et al. 2020, arXiv 1912.08193, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def sample_values(maps: Tensor, points: Tensor) -> Tensor:
    """Samples maps bilinearly; beyond the outermost cell centers the border value is used.

    Args:
        maps: (K, H, W) float.
        points: (K, P, 2) float (x, y) as shares 0..1 of width and height.

    Returns:
        (K, P).
    """
    grid = 2 * points[:, None] - 1
    return F.grid_sample(maps[:, None], grid, padding_mode="border", align_corners=False)[:, 0, 0]


@torch.no_grad()
def draw_uncertain_points(
    logits: Tensor, count: int, *, oversample: float = 3.0, importance: float = 0.75
) -> Tensor:
    """Draws random points of each map, most of them where the logits are closest to 0.

    Args:
        logits: (K, H, W) float.
        count: number of points P.
        oversample: candidates per point.
        importance: share of the points that are the most uncertain candidates; the rest is drawn uniformly.

    Returns:
        (K, P, 2) float (x, y) as shares 0..1 of width and height.
    """
    maps = len(logits)
    chosen = int(importance * count)
    drawn = torch.rand(maps, int(oversample * count), 2, device=logits.device)
    nearest = sample_values(logits, drawn).abs().topk(chosen, dim=1, largest=False).indices
    kept = drawn.gather(1, nearest.unsqueeze(-1).expand(-1, -1, 2))
    return torch.cat([kept, torch.rand(maps, count - chosen, 2, device=logits.device)], dim=1)


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """(K, P) logits and shares 0..1 -> (K,) mean binary cross entropy."""
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=1)


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """(K, P) logits and shares 0..1 -> (K,) one minus the soft Dice overlap, smoothed by 1 in both sums."""
    inside = logits.sigmoid()
    return 1 - (2 * (inside * truth).sum(dim=1) + 1) / (inside.sum(dim=1) + truth.sum(dim=1) + 1)


def actual_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU of predicted masks with true masks, counted in cells.

    Args:
        logits: (N, M, H, W); positive inside the masks.
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
    """The loss of each prompt's best mask, and the error of the predicted scores of all requested masks.

    The released training has no loss for the scores, so they keep predicting the quality that the masks once had.

    Attributes:
        cross_entropy: weight of the binary cross entropy.
        dice: weight of the Dice loss.
        score: weight of the squared error of the predicted IoU.
        points: number of sampled points per mask.
    """

    cross_entropy: float = 20.0
    dice: float = 1.0
    score: float = 1.0
    points: int = 112 * 112

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """-> "loss" and its parts, means over prompts; `batch` as of `densevit.train.promptable`."""
        logits, scores = model(*(batch[name] for name in ("image", "points", "labels", "prompts", "tokens")))
        # one mask for an unambiguous prompt, or three for an ambiguous one
        asked = slice(1, None) if bool(batch["multimask"]) else slice(0, 1)
        return self.compare_masks(logits[:, asked].float(), scores[:, asked].float(), batch["masks"])

    def compare_masks(self, logits: Tensor, scores: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """The losses of predicted masks.

        Args:
            logits: (N, M, H, W) float32.
            scores: (N, M) float32.
            masks: (N, H, W) uint8, 255 where the true mask covers the whole cell.

        Returns:
            "loss", the weighted sum of "cross_entropy" and "dice" of the mask with the smallest weighted sum of
            both, and of "score"; "iou" is the mean over the best masks, for the log.
        """
        truth = masks.float() / 255
        prompts, several = logits.shape[:2]
        maps = logits.flatten(0, 1)
        points = draw_uncertain_points(maps, self.points)
        found = sample_values(maps, points)
        # each true mask is sampled at the points of all masks of its prompt
        wanted = sample_values(truth, points.reshape(prompts, -1, 2)).reshape(len(maps), -1)
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
