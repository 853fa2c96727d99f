"""The constants of Segment Anything (arXiv 2304.02643, appendix A), which all its models share."""

from __future__ import annotations

FRAME_PX = 1024
"""Side of the square frame that prompts and masks refer to, also for encoders that see 512 pixels."""

EMBEDDING_SHAPE = (256, 64, 64)
"""Channels, rows and columns of the embedding of one image."""

MASK_SIDE = 256
"""Height and width of the decoder's masks, which cover the frame."""

MASKS_PER_PROMPT = 4
"""Token 0 for an unambiguous prompt, tokens 1 to 3 for whole, part and subpart of an ambiguous one."""

NOT_A_POINT, BACKGROUND, FOREGROUND, TOP_LEFT, BOTTOM_RIGHT = -1, 0, 1, 2, 3
"""The labels of points: padding point, background point, foreground point, and the two corners of a box."""
