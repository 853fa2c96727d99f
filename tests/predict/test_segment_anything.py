"""Prompts in, masks out: what belongs to which prompt, in which order, and how much is held at once."""

import numpy as np
import pytest

from densevit import masks
from densevit.core.errors import InputError, UsageError
from densevit.imaging import ImageError
from densevit.predict.decoding import PROMPTS_AT_ONCE
from densevit.runtimes.base import OutOfMemoryError
from densevit.tasks.promptable import Scene
from helpers import tiny
from helpers.blobs import CENTERS, model

IMAGE = tiny.image(480, 640)
SCALE = 640 / 1024


def places(count: int) -> np.ndarray:
    inside = CENTERS[(CENTERS[:, 1] < 740) & (CENTERS[:, 0] < 1000)] * SCALE
    return np.resize(inside, (count, 2))


def test_an_image_or_its_scene():
    sam = model()
    scene = sam.encode(IMAGE)
    assert isinstance(scene, Scene)
    first = sam.predict(IMAGE, points=places(1))
    second = sam.predict(scene, points=places(1))
    assert [mask.rle for mask in first] == [mask.rle for mask in second]
    assert len(first) == 3
    assert first.image is not None


def test_several_images_share_batches():
    sam = model()
    scenes = sam.encode([tiny.image(100, 200), tiny.image(300, 100), IMAGE, IMAGE, IMAGE])
    assert [tuple(scene.placement.image) for scene in scenes] == [(100, 200), (300, 100), *[(480, 640)] * 3]
    assert [count for _, count in sam.runtime.calls] == [4, 1]


def test_one_call_equals_many():
    sam = model()
    scene = sam.encode(IMAGE)
    points = places(70)
    together = sam.predict(scene, points=points[:, None], keep_logits=True)
    assert len(together) == 3 * 70
    assert together.logits.shape == (210, 256, 256)
    # three about equal portions of at most 32
    assert [count for function, count in sam.runtime.calls if function == "decode_masks"] == [24, 24, 22]
    for index in (0, 23, 24, 69):
        alone = sam.predict(scene, points=points[index : index + 1], keep_logits=True)
        rows = slice(3 * index, 3 * index + 3)
        assert [mask.rle for mask in alone] == [mask.rle for mask in together.masks[rows]]
        assert {mask.prompt for mask in together.masks[rows]} == {index}
        np.testing.assert_array_equal(alone.logits, together.logits[rows])
        np.testing.assert_array_equal(alone.scores, together.scores[rows])


def test_how_many_masks():
    sam = model()
    scene = sam.encode(IMAGE)
    box = [100, 100, 300, 300]
    assert len(sam.predict(scene, points=places(1))) == 3
    assert len(sam.predict(scene, points=places(2))) == 1
    assert len(sam.predict(scene, boxes=box)) == 1
    assert len(sam.predict(scene, boxes=box, multimask=True)) == 3
    assert len(sam.predict(scene, points=places(1), multimask=False)) == 1
    best = sam.predict(scene, boxes=[box, box], multimask=True).best()
    assert [mask.prompt for mask in best] == [0, 1]
    assert best.scores[0] == sam.predict(scene, boxes=box, multimask=True).scores.max()


def test_masks_are_where_the_logits_are():
    sam = model()
    scene = sam.encode(IMAGE)
    result = sam.predict(scene, points=places(1), keep_logits=True)
    enlarged = sam.task.upsampling(scene.placement)
    for mask, logits in zip(result, result.logits, strict=True):
        np.testing.assert_array_equal(mask.decode(), enlarged.enlarge(logits) > 0)


def test_a_mask_as_a_prompt():
    sam = model()
    scene = sam.encode(IMAGE)
    first = sam.predict(scene, points=places(1), keep_logits=True).best()
    sam.predict(scene, points=places(1), mask=first.logits[0])
    assert sam.runtime.calls[-1] == ("refine_masks", 1)
    sam.predict(scene, mask=first.logits)
    assert sam.runtime.calls[-1] == ("refine_masks", 1)


def test_no_box_gives_no_mask():
    sam = model()
    result = sam.predict(IMAGE, boxes=np.zeros((0, 4)), keep_logits=True)
    assert len(result) == 0
    assert result.boxes.shape == (0, 4)
    assert result.logits.shape == (0, 256, 256)
    assert all(function == "encode_image" for function, _ in sam.runtime.calls)


def test_ten_thousand_prompts_are_held_as_runs():
    sam = model()
    scene = sam.encode(IMAGE)
    boxes = np.tile(np.array([[10, 10, 60, 60]]), (10_000, 1))
    # the answers are made up here: what is tested is that they are not collected as arrays
    logits = np.full((1, 4, 256, 256), -9, np.float32)
    logits[:, :, 3:9, 4:11] = 5
    scores = np.ones((1, 4), np.float32)

    def run(function, tensors):
        count = len(tensors["points"])
        assert count <= PROMPTS_AT_ONCE
        return {
            "masks": np.broadcast_to(logits, (count, 4, 256, 256)),
            "scores": np.broadcast_to(scores, (count, 4)),
        }

    sam.runtime.run = run
    result = sam.predict(scene, boxes=boxes)
    assert len(result) == 10_000
    assert sum(mask.rle.counts.nbytes for mask in result) < 50e6


OUTSIDE = [
    {"boxes": [[700, 5, 740, 9]]},
    {"boxes": [[5, 500, 9, 520]]},
    {"points": [[3, 481]]},
    {"points": [[-1, 3]]},
]


@pytest.mark.parametrize("prompt", OUTSIDE)
def test_a_prompt_outside_the_image_is_wrong_for_this_image_only(prompt):
    sam = model()
    with pytest.raises(InputError, match="lies outside the image of 640 x 480 px"):
        sam.predict(IMAGE, **prompt)
    if "boxes" in prompt:
        assert len(sam.predict(tiny.image(800, 800), **prompt)) == 1


def test_scores_that_are_not_finite_are_refused():
    sam = model()
    scene = sam.encode(IMAGE)
    answer = sam.runtime.run

    def run(function, tensors):
        raw = answer(function, tensors)
        raw["scores"][0, 2] = np.nan
        return raw

    sam.runtime.run = run
    with pytest.raises(InputError, match="not finite"):
        sam.predict(scene, points=places(1))
    with pytest.raises(InputError, match="not finite"):
        list(sam.everything(scene))


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 3 GiB"), OutOfMemoryError("no room")])
def test_memory_that_ends_while_prompts_are_answered(error):
    sam = model()
    scene = sam.encode(IMAGE)

    def run(function, tensors):
        raise error

    sam.runtime.run = run
    for ask in (lambda: sam.predict(scene, points=places(1)), lambda: list(sam.everything(scene))):
        with pytest.raises(ImageError, match=r"image of 640 x 480 px: .*; use a smaller image, or"):
            ask()


@pytest.mark.parametrize("error", [ValueError("broadcast"), TypeError("type"), IndexError("index")])
def test_an_internal_failure_comes_out_unchanged(error):
    sam = model()
    scene = sam.encode(IMAGE)

    def run(function, tensors):
        raise error

    sam.runtime.run = run
    for ask in (lambda: sam.predict(scene, points=places(1)), lambda: list(sam.everything(scene))):
        with pytest.raises(type(error)) as caught:
            ask()
        assert caught.value is error


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ({}, "a prompt needs points, boxes or a mask"),
        ({"boxes": [[5, 5, 5, 9]]}, "empty or inverted"),
        ({"boxes": [[50, 5, 40, 9]]}, "empty or inverted"),
        ({"boxes": [[5, 5, np.nan, 9]]}, "finite"),
        ({"points": [[np.inf, 3]]}, "finite"),
        ({"points": [[3, 3]], "labels": [2]}, "labels must be 1"),
        ({"points": [[3, 3]], "labels": [1, 0]}, "labels must be"),
        ({"labels": [1]}, "labels belong to points"),
        ({"points": [3, 3]}, "points must be"),
        ({"points": "here"}, "array of numbers"),
        ({"mask": np.zeros((64, 64))}, r"mask must be the logits of an earlier result"),
        ({"mask": np.full((256, 256), np.nan)}, "finite"),
        ({"points": [[3, 3]], "boxes": [[1, 1, 9, 9], [1, 1, 9, 9]]}, "number of prompts must be the same"),
    ],
)
def test_prompts_that_are_not_valid(prompt, problem):
    sam = model()
    with pytest.raises(UsageError, match=problem):
        sam.predict(IMAGE, **prompt)
    assert all(function == "encode_image" for function, _ in sam.runtime.calls)


def test_a_box_that_reaches_beyond_the_image_is_cut():
    sam = model()
    scene = sam.encode(IMAGE)
    cut = sam.predict(scene, boxes=[-50, -20, 300, 900])
    assert [mask.rle for mask in cut] == [mask.rle for mask in sam.predict(scene, boxes=[0, 0, 300, 480])]


def test_images_that_cannot_be_read(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"x\.jpg"):
        model().predict(tmp_path / "x.jpg", points=places(1))
    with pytest.raises(ValueError, match="prompts are for one image"):
        model().predict([IMAGE], points=places(1))


def test_scores_and_boxes_are_of_the_masks():
    result = model().predict(IMAGE, points=places(4)[:, None])
    for index, mask in enumerate(result):
        rows, columns = np.nonzero(mask.decode())
        assert mask.area == len(rows) == result.areas[index]
        assert tuple(result.boxes[index]) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert masks.encode(mask.decode()) == mask.rle
