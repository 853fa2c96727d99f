"""An image into the network's input and its logits back to labels, against PyTorch's own interpolation."""

import json
import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

from densevit.core.manifest import Manifest, ManifestError
from densevit.imaging import ImageError, Placement, Size, SizePolicy
from densevit.tasks.base import Signature, TensorSpec
from densevit.tasks.classification import ClassificationResult
from densevit.tasks.mask_result import MasksResult
from densevit.tasks.segmentation import Segmentation, SegmentationResult, make_segmentation_task
from densevit.tasks.table import make_task
from helpers import tiny

NAMES = ("road", "car", "sky")
PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)


def read(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def task(size: str = "native", classes: int = 3, **options) -> Segmentation:
    names = [f"class {index}" for index in range(classes)]
    palette = np.random.default_rng(1).integers(0, 256, (classes, 3), np.uint8)
    return Segmentation(names, palette, size=SizePolicy.parse(size), **options)


def random_logits(tensors: dict, classes: int = 3, seed: int = 0) -> np.ndarray:
    """(1, classes, H / 8, W / 8) float32 for that input, smooth enough to make regions."""
    _, height, width, _ = tensors["image"].shape
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, classes, max(1, height // 24), max(1, width // 24), generator=generator)
    smooth = F.interpolate(coarse, size=(height // 8, width // 8), mode="bilinear")
    return (4 * smooth + torch.randn(smooth.shape, generator=generator)).numpy()


def sampled(logits: np.ndarray, placement: Placement) -> np.ndarray:
    """(classes, H, W) float64: the bilinear definition, at the place where each image pixel lies."""
    _, rows, columns = logits.shape

    def taps(pixels: int, content: int, tensor: int, count: int):
        centers = (np.arange(pixels) + 0.5) * (content / pixels) * (count / tensor) - 0.5
        centers = centers.clip(0, count - 1)
        low = np.floor(centers).astype(int)
        return low, np.minimum(low + 1, count - 1), centers - low

    top, bottom, down = taps(placement.image.height, placement.content.height, placement.tensor.height, rows)
    left, right, across = taps(placement.image.width, placement.content.width, placement.tensor.width, columns)
    wide = logits.astype(np.float64)
    rows_mixed = wide[:, top] * (1 - down)[:, None] + wide[:, bottom] * down[:, None]
    return rows_mixed[..., left] * (1 - across) + rows_mixed[..., right] * across


def result_of(task: Segmentation, image: np.ndarray, seed: int = 0) -> SegmentationResult:
    tensors, placement = task.preprocess(image)
    logits = random_logits(tensors, len(task.class_names), seed)
    return task.postprocess({"logits": logits}, placement, image)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (77, 1), (31, 33), (32, 64), (65, 127), (128, 96)])
@pytest.mark.parametrize("policy", ["native", "short:48", "long:70", "exact:40x72", "short:64/32"])
def test_every_size_is_padded_to_the_multiple_by_its_edge(size, policy):
    image = tiny.image(*size)
    tensors, placement = task(policy).preprocess(image)
    (fitted,) = tensors["image"]
    assert fitted.dtype == np.uint8
    assert tensors.keys() == {"image"}
    assert fitted.shape == (*placement.tensor, 3)
    assert placement.image == size
    assert placement.content == SizePolicy.parse(policy).working_size(Size(*size))
    for tensor, content in zip(placement.tensor, placement.content, strict=True):
        assert tensor == math.ceil(content / 32) * 32
    height, width = placement.content
    if placement.content == size:
        assert np.array_equal(fitted[:height, :width], image)
    inside = fitted[:height, :width]
    assert np.array_equal(
        fitted, np.pad(inside, [(0, fitted.shape[0] - height), (0, fitted.shape[1] - width), (0, 0)], "edge")
    )


def test_the_input_is_what_the_signature_says():
    some = task(classes=5)
    signature = some.signatures["forward"]
    tensors, placement = some.preprocess(tiny.image(33, 70))
    signature.check_inputs(tensors)
    signature.outputs[0].check(random_logits(tensors, 5))
    assert list(some.signatures) == ["forward"]
    assert placement.tensor == (64, 96)


def test_a_working_size_beyond_reason_is_refused():
    with pytest.raises(ImageError, match="crop it or set another size"):
        task("short:1024").preprocess(np.zeros((1, 20_000, 3), np.uint8))


def test_an_image_of_another_type_is_refused():
    with pytest.raises(ValueError, match="float32"):
        task().preprocess(np.zeros((4, 4, 3), np.float32))


@pytest.mark.parametrize("align", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "policy"),
    [
        ((64, 96), "native"),
        ((50, 71), "exact:64x96"),
        ((200, 130), "exact:96x64"),
        ((40, 61), "short:64/32"),
        ((1, 1), "exact:32x32"),
    ],
)
def test_unpadded_labels_are_interpolation_and_argmax(size, policy, align):
    some = task(policy, classes=7, align=align)
    tensors, placement = some.preprocess(tiny.image(*size))
    assert placement.content == placement.tensor
    logits = random_logits(tensors, 7)
    result = some.postprocess({"logits": logits}, placement)
    expected = F.interpolate(torch.from_numpy(logits), size=size, mode=align, align_corners=False).argmax(1)[0]
    assert np.array_equal(result.labels, expected.numpy())
    assert result.labels.dtype == np.uint8
    if min(size) > 1:
        assert len(np.unique(result.labels)) > 2


@pytest.mark.parametrize("align", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (33, 65), (100, 150), (95, 32), (63, 97)])
def test_padded_labels_are_interpolation_by_the_stride_and_a_crop(size, align):
    some = task(classes=7, align=align)
    tensors, placement = some.preprocess(tiny.image(*size))
    logits = random_logits(tensors, 7)
    result = some.postprocess({"logits": logits}, placement)
    full = F.interpolate(torch.from_numpy(logits), scale_factor=8, mode=align, align_corners=False).argmax(1)[0]
    assert np.array_equal(result.labels, full[: size[0], : size[1]].numpy())


@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    policy=st.sampled_from(["native", "short:40", "long:75", "exact:50x90", "short:33/32"]),
)
@settings(max_examples=30, deadline=None)
def test_labels_of_resized_and_padded_images_lie_where_the_image_is(height, width, policy):
    some = task(policy, classes=4)
    tensors, placement = some.preprocess(np.zeros((height, width, 3), np.uint8))
    logits = random_logits(tensors, 4)
    result = some.postprocess({"logits": logits}, placement)
    assert result.labels.shape == (height, width)
    values = sampled(logits[0], placement)
    best = values.max(axis=0)
    chosen = np.take_along_axis(values, result.labels[None].astype(int), axis=0)[0]
    # another label than the best one only where the two tie within float32
    assert (best - chosen <= 1e-4).all()


@pytest.mark.parametrize("policy", ["native", "short:48", "exact:64x96"])
def test_confidence_is_the_probability_of_the_label(policy):
    result = result_of(task(policy, classes=5), tiny.image(50, 75))
    confidence = result.confidence()
    assert confidence.shape == (50, 75)
    assert confidence.dtype == np.float32
    assert ((confidence >= 1 / 5 - 1e-6) & (confidence <= 1)).all()
    values = torch.from_numpy(sampled(result.logits, result.placement))
    expected = values.softmax(0).amax(0).numpy()
    assert np.abs(confidence - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((1, 4, 4, 4), np.float32), r"logits must be float32 \('batch', 3"),
        (np.zeros((1, 3, 4, 4)), r"logits must be float32.*got float64"),
        (np.zeros((3, 4, 4), np.float32), r"got float32 \(3, 4, 4\)"),
        (np.zeros((2, 3, 4, 4), np.float32), "too many values|batch"),
        (np.full((1, 3, 4, 4), np.nan, np.float32), "finite"),
    ],
)
def test_other_logits_are_refused(logits, message):
    _, placement = task().preprocess(tiny.image(32, 32))
    with pytest.raises(ValueError, match=message):
        task().postprocess({"logits": logits}, placement)


def test_names_and_colors_must_match():
    with pytest.raises(ValueError, match="3 class names for 2 colors"):
        Segmentation(NAMES, PALETTE[:2], size=SizePolicy("native"))


# --- the published evaluation


def cubic(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """OpenCV's INTER_CUBIC by PyTorch's bicubic, which has the same kernel."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    y = F.interpolate(x, size=size, mode="bicubic", align_corners=False)
    return (y + 0.5).clip(0, 255).floor().to(torch.uint8)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(40, 70), (64, 128), (100, 250), (1, 1)])
def test_published_is_the_official_evaluation_of_cityscapes(size):
    manifest = tiny.manifest(size="short:48", published_size="exact:64x128")
    some = make_segmentation_task(manifest, size="published")
    image = tiny.image(*size)
    tensors, placement = some.preprocess(image)
    (fitted,) = tensors["image"]
    assert fitted.shape == (64, 128, 3)
    difference = np.abs(fitted.astype(int) - cubic(image, (64, 128)))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01
    logits = random_logits(tensors, 11)
    result = some.postprocess({"logits": logits}, placement, image)
    official = F.interpolate(torch.from_numpy(logits), size=size, mode="bicubic", align_corners=False).argmax(1)[0]
    assert np.array_equal(result.labels, official.numpy())
    assert result.align == "bicubic"


@pytest.mark.parametrize("size", [(70, 100), (33, 200), (64, 96)])
def test_published_is_the_official_evaluation_of_ade20k(size):
    # shorter side S, the other rounded up to a multiple of 32: nothing to pad (paper.md; eval of the authors)
    some = make_segmentation_task(tiny.manifest(published_size="short:64/32"), size="published")
    tensors, placement = some.preprocess(tiny.image(*size))
    assert placement.content == placement.tensor
    assert min(placement.tensor) == 64
    expected = math.ceil(max(size) * 64 / min(size) / 32) * 32
    assert max(placement.tensor) == expected
    logits = random_logits(tensors, 11)
    official = F.interpolate(torch.from_numpy(logits), size=size, mode="bicubic", align_corners=False).argmax(1)[0]
    assert np.array_equal(some.postprocess({"logits": logits}, placement).labels, official.numpy())


# --- what a manifest makes of it


def test_the_manifest_sets_the_task():
    manifest = tiny.manifest(size="short:48", multiple=16, resize="pil_bicubic")
    made = make_task(manifest)
    assert made.class_names == manifest.class_names
    assert np.array_equal(made.palette, np.array(manifest.palette, np.uint8))
    assert (str(made.size), made.multiple, made.resize, made.align) == ("short:48", 16, "pil_bicubic", "bilinear")
    tensors, _ = made.preprocess(tiny.image(60, 75))
    assert tensors["image"].shape == (1, 48, 64, 3)
    assert str(make_task(manifest, size="long:99").size) == "long:99"
    with pytest.raises(ValueError, match=r"'huge'.*native"):
        make_task(manifest, size="huge")


def test_a_manifest_without_colors_gets_some():
    made = make_task(tiny.manifest(palette=()))
    assert made.palette.shape == (11, 3)
    assert len(np.unique(made.palette, axis=0)) == 11


def test_a_task_of_the_future_is_refused_by_name():
    with pytest.raises(ManifestError, match=r"tomorrow.*'dreams' is not known"):
        make_task(Manifest(name="tomorrow", task="dreams", architecture="seg-b0"))


def test_signatures_name_what_is_missing_or_wrong():
    spec = TensorSpec("image", "uint8", ("batch", "height", "width", 3))
    signature = Signature((spec,), ())
    signature.check_inputs({"image": np.zeros((2, 5, 7, 3), np.uint8), "more": np.zeros(1)})
    with pytest.raises(ValueError, match=r"input 'image' is missing, got \['photo'\]"):
        signature.check_inputs({"photo": np.zeros((2, 5, 7, 3), np.uint8)})
    for wrong in (np.zeros((2, 5, 7, 4), np.uint8), np.zeros((5, 7, 3), np.uint8), np.zeros((2, 5, 7, 3))):
        with pytest.raises(ValueError, match="image must be uint8"):
            signature.check_inputs({"image": wrong})


# --- results


def flat_result(labels: np.ndarray, image: np.ndarray | None = None, **changes) -> SegmentationResult:
    size = Size.of(labels)
    fields = {
        "labels": labels,
        "class_names": NAMES,
        "palette": PALETTE,
        "logits": np.zeros((3, 4, 4), np.float32),
        "placement": Placement(size, size, size),
        "image": image,
    }
    return SegmentationResult(**fields | changes)


def test_fractions_are_shares_largest_first():
    labels = np.array([[2, 2, 2, 0], [2, 2, 0, 2]], np.uint8)
    fractions = flat_result(labels).fractions()
    assert list(fractions.items()) == [("sky", 0.75), ("road", 0.25)]
    many = result_of(task(classes=9), tiny.image(90, 111)).fractions()
    assert math.isclose(sum(many.values()), 1)
    assert list(many.values()) == sorted(many.values(), reverse=True)
    assert all(share > 0 for share in many.values())


def test_fractions_of_many_pixels_are_those_of_one_count():
    # more than are counted at once, and not a multiple of that
    labels = np.random.default_rng(3).integers(0, 3, (1300, 1801)).astype(np.uint8)
    counts = np.bincount(labels.ravel(), minlength=3)
    for view in (labels, labels[::-1, ::-1], labels.T):
        fractions = flat_result(view).fractions()
        assert fractions == {NAMES[index]: counts[index] / labels.size for index in np.argsort(-counts)}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_fractions_need_little_memory(dtype):
    # np.bincount converts to int64: 8 bytes a pixel, 1.4 GB at 178 megapixels
    result = flat_result(np.ones((4000, 5000), dtype))
    tracemalloc.start()
    try:
        assert result.fractions() == {"car": 1.0}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_the_legend_names_the_classes_that_occur(monkeypatch):
    labels = np.full((30, 40), 2, np.uint8)
    labels[0, 0] = 0
    image = np.full((30, 40, 3), 100, np.uint8)
    result = flat_result(labels, image)
    asked = []

    def add_legend(drawn, names, palette):
        asked.append((list(names), palette.tolist()))
        return np.concatenate([drawn, drawn], axis=1)

    monkeypatch.setattr("densevit.imaging.draw.add_legend", add_legend)
    plain = result.overlay().array
    assert asked == []
    assert np.array_equal(result.overlay(legend=True).array[:, :40], plain)
    # largest first
    assert asked == [(["sky", "road"], [[0, 0, 255], [255, 0, 0]])]


def test_an_overlay_with_a_legend_holds_the_overlay():
    result = flat_result(np.tile(np.arange(3, dtype=np.uint8), (60, 20)), np.full((60, 60, 3), 100, np.uint8))
    drawn = result.overlay(legend=True).array
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] > 60
    assert np.array_equal(drawn[:60, :60], result.overlay().array)


def test_json_files_of_two_tasks_have_their_own_names(tmp_path):
    size = Size(2, 2)
    segmented = flat_result(np.zeros(size, np.uint8))
    classified = ClassificationResult(np.zeros(2, np.float32), ("a", "b"), Placement(size, size, size))
    masked = MasksResult((), size)
    written = [*segmented.save(tmp_path / "x", formats=["json"]), *classified.save(tmp_path / "x")]
    written += masked.save(tmp_path / "x", formats=["json", "rle"])
    assert [path.name for path in written] == [
        "x.segmentation.json",
        "x.classification.json",
        "x.masks.json",
        "x.rle.json",
    ]
    assert "fractions" in json.loads(written[0].read_text())
    assert "top" in json.loads(written[1].read_text())


def test_colors_and_overlay_are_the_palette_over_the_image():
    labels = np.array([[0, 1], [2, 0]], np.uint8)
    image = np.full((2, 2, 3), 100, np.uint8)
    result = flat_result(labels, image)
    assert np.array_equal(result.color(), PALETTE[labels])
    assert np.array_equal(np.asarray(result.overlay(opacity=0)), image)
    assert np.array_equal(np.asarray(result.overlay(opacity=1)), PALETTE[labels])
    assert np.array_equal(result.overlay().array[0, 0], [178, 50, 50])
    with pytest.raises(ValueError, match="does not hold its image"):
        flat_result(labels).overlay()


def test_a_drawing_is_an_array_and_saves_itself(tmp_path):
    drawing = flat_result(np.zeros((3, 5), np.uint8), np.zeros((3, 5, 3), np.uint8)).overlay()
    assert np.asarray(drawing).shape == (3, 5, 3)
    assert np.asarray(drawing, dtype=np.float32).dtype == np.float32
    drawing.save(tmp_path / "drawn.png")
    assert np.array_equal(read(tmp_path / "drawn.png"), drawing.array)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"placement": Placement(Size(9, 9), Size(9, 9), Size(32, 32))}, r"labels are \(2, 3\)"),
        ({"class_names": NAMES[:2]}, "2 names, 3 colors, 3 logits"),
        ({"palette": PALETTE[:1]}, "3 names, 1 colors"),
        ({"logits": np.zeros((4, 1, 1), np.float32)}, "4 logits"),
    ],
)
def test_results_validate_their_shapes(changes, message):
    with pytest.raises(ValueError, match=message):
        flat_result(np.zeros((2, 3), np.uint8), **changes)


def test_files_of_every_format(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (9, 14)).astype(np.uint8)
    result = flat_result(labels, tiny.image(9, 14))
    written = result.save(tmp_path / "made" / "for it" / "street.v2", formats=SegmentationResult.formats)
    suffixes = ["overlay.jpg", "labels.png", "color.png", "segmentation.json"]
    assert written == [tmp_path / "made" / "for it" / f"street.v2.{suffix}" for suffix in suffixes]
    assert sorted(written) == sorted((tmp_path / "made" / "for it").iterdir())
    overlay, indexed, color, text = written
    with Image.open(overlay) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (14, 9), "RGB")
    with Image.open(indexed) as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), labels)
        assert image.getpalette()[:9] == PALETTE.ravel().tolist()
    with Image.open(color) as image:
        assert np.array_equal(np.asarray(image), PALETTE[labels])
    said = json.loads(text.read_text(encoding="utf-8"))
    assert (said["height"], said["width"]) == (9, 14)
    assert said["fractions"].keys() == {NAMES[index] for index in np.unique(labels)}
    assert math.isclose(sum(said["fractions"].values()), 1, abs_tol=1e-5)
    for index, name in enumerate(NAMES):
        assert math.isclose(said["fractions"][name], (labels == index).mean(), abs_tol=1e-5)


def test_the_default_is_an_overlay_and_files_are_replaced(tmp_path):
    result = flat_result(np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "x.overlay.jpg").write_text("old")
    assert result.save(str(tmp_path / "x")) == [tmp_path / "x.overlay.jpg"]
    assert read(tmp_path / "x.overlay.jpg").shape == (4, 4, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["x.overlay.jpg"]


def test_more_than_256_classes_take_16_bits(tmp_path):
    some = task(classes=300)
    _, placement = some.preprocess(tiny.image(64, 64))
    logits = np.zeros((1, 300, *(side // 8 for side in placement.tensor)), np.float32)
    logits[0, 299, :, :4] = 9
    logits[0, 7, :, 4:] = 9
    result = some.postprocess({"logits": logits}, placement, tiny.image(64, 64))
    assert result.labels.dtype == np.uint16
    (written, color) = result.save(tmp_path / "many", formats=["labels", "color"])
    stored = read(written)
    assert stored.max() == 299
    assert np.array_equal(stored, result.labels)
    assert np.array_equal(read(color), some.palette[result.labels])


@pytest.mark.parametrize("classes", [1, 256])
def test_up_to_256_classes_take_8_bits(tmp_path, classes):
    result = result_of(task(classes=classes), tiny.image(40, 50))
    assert result.labels.dtype == np.uint8
    (written,) = result.save(tmp_path / "few", formats=["labels"])
    assert np.array_equal(read(written), result.labels)


def test_unknown_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"format must be one of overlay, labels, color, json, got 'gif'"):
        flat_result(np.zeros((2, 2), np.uint8)).save(tmp_path / "x", formats=["gif"])
    assert not list(tmp_path.iterdir())
