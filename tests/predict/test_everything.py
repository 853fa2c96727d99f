"""Everything mode against Segment Anything's generator, with the same answers to every point."""

import numpy as np
import pytest
import torch
from torch import nn

from densevit.imaging import Size
from densevit.masks import RLE, iou
from densevit.predict.everything import EverythingOptions
from densevit.predict.grid import build_point_grid, generate_crops
from helpers import tiny
from helpers.blobs import answer_points, model
from helpers.torchvision_shim import make_torchvision_importable


class Encoder(nn.Module):
    img_size = 1024

    def forward(self, x):
        return torch.zeros(len(x), 256, 64, 64)


class Prompts(nn.Module):
    def forward(self, points, boxes, masks):
        return points[0], torch.zeros(1, 256, 64, 64)

    def get_dense_pe(self):
        return torch.zeros(1, 256, 64, 64)


class Decoder(nn.Module):
    def forward(
        self, image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings, multimask_output
    ):
        logits, scores = answer_points(sparse_prompt_embeddings.numpy())
        return torch.from_numpy(logits[:, 1:]), torch.from_numpy(scores[:, 1:])


def suppressed(boxes, scores, threshold):
    """torchvision's own operator does not load beside this build of torch."""
    order = torch.argsort(scores, descending=True, stable=True).tolist()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while order:
        best, *rest = order
        kept.append(best)
        order = []
        for other in rest:
            low = torch.maximum(boxes[best, :2], boxes[other, :2])
            high = torch.minimum(boxes[best, 2:], boxes[other, 2:])
            common = (high - low).clamp(min=0).prod()
            if not common / (areas[best] + areas[other] - common) > threshold:
                order.append(other)
    return torch.tensor(kept, dtype=torch.int64)


def reference(image: np.ndarray, monkeypatch, **options) -> list[dict]:
    make_torchvision_importable()
    generator = pytest.importorskip("segment_anything.automatic_mask_generator")
    from segment_anything.modeling import Sam

    monkeypatch.setattr(
        generator,
        "batched_nms",
        lambda boxes, scores, _, iou_threshold: suppressed(boxes, scores, iou_threshold),
    )
    sam = Sam(Encoder(), Prompts(), Decoder()).eval()
    made = generator.SamAutomaticMaskGenerator(sam, output_mode="uncompressed_rle", **options)
    return made.generate(image)


def same(one: RLE, other: RLE) -> float:
    # a blob beyond the image gives no pixel on either side
    return iou(one, other) if one.area or other.area else 1.0


CASES = {
    "defaults": ({"points_per_side": 9}, {}),
    "strict": (
        {"points_per_side": 7, "pred_iou_threshold": 0.93, "stability_threshold": 0.9, "box_nms_threshold": 0.5},
        {"pred_iou_thresh": 0.93, "stability_score_thresh": 0.9, "box_nms_thresh": 0.5},
    ),
    "all": (
        {"points_per_side": 6, "pred_iou_threshold": 0.0, "stability_threshold": 0.0, "box_nms_threshold": 1.0},
        {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0},
    ),
    "crops": (
        {"points_per_side": 6, "crop_layers": 2, "crop_points_downscale": 2, "stability_threshold": 0.5},
        {"crop_n_layers": 2, "crop_n_points_downscale_factor": 2, "stability_score_thresh": 0.5},
    ),
}


@pytest.mark.parametrize(
    ("case", "size"), [("defaults", (180, 250)), ("strict", (90, 70)), ("all", (90, 70)), ("crops", (150, 110))]
)
def test_masks_are_those_of_the_generator(case, size, monkeypatch):
    ours, theirs = CASES[case]
    image = tiny.image(*size)
    expected = reference(image, monkeypatch, points_per_side=ours["points_per_side"], **theirs)
    found = list(model().everything(image, EverythingOptions(**ours)))
    assert len(expected) == len(found) > 3
    truths = [RLE.from_coco(mask["segmentation"]) for mask in expected]
    overlaps = np.array([[same(mask.rle, truth) for truth in truths] for mask in found])
    assert (overlaps.max(axis=0) > 0.99).all()
    assert (overlaps.max(axis=1) > 0.99).all()
    for index, mask in enumerate(found):
        twin = expected[int(overlaps[index].argmax())]
        # where several have the same pixels, any of them may be the twin
        alike = [
            truth["predicted_iou"] for truth, like in zip(expected, overlaps[index], strict=True) if like > 0.99
        ]
        assert min(abs(mask.score - score) for score in alike) < 2e-3
        assert twin["area"] == pytest.approx(mask.area, rel=0.01, abs=1)


def test_masks_come_best_first_as_soon_as_they_are_certain():
    sam = model()
    masks = sam.everything(tiny.image(200, 300), EverythingOptions(points_per_side=10))
    scores = [mask.score for mask in masks]
    assert scores == sorted(scores, reverse=True)
    # nothing is decoded before somebody asks
    calls = len(sam.runtime.calls)
    sam.everything(sam.encode(tiny.image(200, 300)), EverythingOptions(points_per_side=10))
    assert len(sam.runtime.calls) == calls + 1


def test_progress_reaches_the_end():
    reported = []
    options = EverythingOptions(points_per_side=7, crop_layers=1)
    list(model().everything(tiny.image(100, 90), options, progress=lambda *now: reported.append(now)))
    total = 5 * 49
    assert reported[-1] == (total, total)
    assert reported == sorted(reported)


def test_crops_need_the_image():
    sam = model()
    scene = sam.encode(tiny.image(100, 90))
    bare = type(scene)(scene.embedding, scene.placement)
    with pytest.raises(ValueError, match="does not hold its image for crops"):
        list(sam.everything(bare, EverythingOptions(crop_layers=1)))
    assert list(sam.everything(bare, EverythingOptions(points_per_side=4, stability_threshold=0.0)))


@pytest.mark.parametrize(
    "options",
    [
        {"points_per_side": 0},
        {"crop_layers": 9},
        {"pred_iou_threshold": 1.5},
        {"stability_offset": -1},
        {"crop_overlap_ratio": 1.0},
        {"crop_points_downscale": 0},
    ],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        EverythingOptions(**options)


def test_grids_and_crops_are_the_generators():
    make_torchvision_importable()
    amg = pytest.importorskip("segment_anything.utils.amg")
    np.testing.assert_allclose(build_point_grid(Size(1, 1), 5), amg.build_point_grid(5))
    boxes, layers = amg.generate_crop_boxes((431, 650), 3, 512 / 1500)
    ours = generate_crops(Size(431, 650), 3, 512 / 1500)
    assert {(*box, layer) for box, layer in zip(map(tuple, boxes), layers, strict=True)} == {
        (*crop.box, crop.layer) for crop in ours
    }
