"""The names of the zoo by the type that `load` gives for them; a test compares them with the zoo."""

from typing import Literal

SegmenterName = Literal[
    "seg-b0-camvid",
    "seg-b0-cityscapes",
    "seg-b1-cityscapes",
    "seg-b2-cityscapes",
    "seg-b3-cityscapes",
    "seg-l1-cityscapes",
    "seg-l2-cityscapes",
    "seg-b1-ade20k",
    "seg-b2-ade20k",
    "seg-b3-ade20k",
    "seg-l1-ade20k",
    "seg-l2-ade20k",
]
ClassifierName = Literal[
    "cls-b0-r224",
    "cls-b1-r224",
    "cls-b1-r256",
    "cls-b1-r288",
    "cls-b2-r224",
    "cls-b2-r256",
    "cls-b2-r288",
    "cls-b3-r224",
    "cls-b3-r256",
    "cls-b3-r288",
    "cls-l1-r224",
    "cls-l2-r224",
    "cls-l2-r256",
    "cls-l2-r288",
    "cls-l2-r320",
    "cls-l2-r384",
    "cls-l3-r224",
    "cls-l3-r256",
    "cls-l3-r288",
    "cls-l3-r320",
    "cls-l3-r384",
]
UpscalerName = Literal[
    "sr-x2",
    "sr-x2-w0.75",
]
PromptableName = Literal[
    "sam-l0",
    "sam-l1",
    "sam-l2",
    "sam-xl0",
    "sam-xl1",
    "sam-b1",
    "mobile-sam",
]
