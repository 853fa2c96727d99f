"""Prompts to the mask decoder, some at a time, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from densevit.runtimes.base import Runtime
from densevit.tasks.base import check_finite
from densevit.tasks.promptable import Scene
from densevit.tasks.prompts import Prompts, select_masks

PROMPTS_AT_ONCE = 32
"""Decoded in one call of the runtime; each needs about 20 MB."""


def decode(
    runtime: Runtime, scene: Scene, prompts: Prompts, *, multimask: bool
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """The outputs of the decoder, some prompts at a time, so that memory does not grow with their number.

    Args:
        runtime: of a promptable model.
        scene: of the prompts.
        prompts: in the frame.
        multimask: whether to give three masks per prompt.

    Yields:
        Number of the first prompt, logits (n, M, 256, 256), predicted intersection over union (n, M).

    Raises:
        InputError: scores that are not finite.
    """
    function = "decode_masks" if prompts.masks is None else "refine_masks"
    embedding = scene.embedding[None]
    for first, count in _split(len(prompts)):
        tensors = {"embedding": embedding, **prompts.tensors(first, count)}
        raw = runtime.run(function, tensors)
        check_finite(raw["scores"])
        yield first, *select_masks(raw, multimask=multimask)


def propose(
    runtime: Runtime, scene: Scene, prompts: Prompts, *, least_score: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]]:
    """The outputs of the decoder for only those prompts that have a good mask, some prompts at a time.

    Args:
        runtime: of a promptable model.
        scene: of the prompts.
        prompts: points and boxes in the frame, no masks.
        least_score: a prompt is left out if none of its three masks scores higher.

    Yields:
        Numbers of the prompts that are kept, at least one each time; their logits (n, 3, 256, 256) and scores
        (n, 3).
    """
    least = np.array([least_score], np.float32)
    for first, count in _split(len(prompts)):
        tensors = {"embedding": scene.embedding[None], **prompts.tensors(first, count)}
        raw = runtime.run("propose_masks", {**tensors, "least_score": least})
        check_finite(raw["scores"])
        scores = raw["scores"][:, 1:]
        good = scores.max(axis=1) > least
        good[0] = True
        (rows,) = np.nonzero(good)
        yield first + rows, raw["masks"][:, 1:], scores[rows]


def _split(prompts: int) -> Iterator[tuple[int, int]]:
    """(first, count) of parts, large and about equal: a runtime is fastest with shapes that it has compiled."""
    parts = -(-prompts // PROMPTS_AT_ONCE)
    size = -(-prompts // parts) if parts else 1
    for first in range(0, prompts, size):
        yield first, min(size, prompts - first)
