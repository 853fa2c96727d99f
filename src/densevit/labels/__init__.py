"""Full-resolution labels from low-resolution logits, without the (classes, height, width) array.

Between four logits pixels the upsampled logits are their weighted mean: bilinear interpolation is a convex
combination. A class that clearly leads at all four therefore wins at every result pixel of the *cell* between
them, and only the cells whose corners disagree (about 5 % of a street scene at stride 8) need any arithmetic.
Bicubic weights may be negative, so there a class has to lead by enough over the 4 x 4 neighborhood.

"Clearly" means by more than float32 rounding can undo. Pixels that are closer than that are computed with
exactly the operations of PyTorch's CPU kernel, so every label equals ``torch.nn.functional.interpolate``
(contiguous NCHW float32, ``align_corners=False``) followed by ``argmax``.

Names: a *tap* is a logits pixel that an interpolated value reads, a *cell* is the set of result pixels that
read the same taps. A cell is *settled* when bounds prove that one class wins all of its pixels; the classes that
may win an unsettled cell are its *rivals*.

Steps, one file each: `axes` says which taps and weights each result pixel has, `settling` finds the settled
cells, `deciding` computes the pixels of the others, with PyTorch's operations (`arithmetic`) where rounding could
decide; `label_map` puts them together.
"""

from densevit.labels.confidence import full_resolution_confidence
from densevit.labels.label_map import full_resolution_labels
from densevit.labels.types import Align

__all__ = ["Align", "full_resolution_confidence", "full_resolution_labels"]
