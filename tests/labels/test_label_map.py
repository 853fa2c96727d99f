"""Every label is compared with PyTorch's interpolate + argmax; near-ties need PyTorch's own rounding."""

import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit.labels import full_resolution_confidence, full_resolution_labels
from densevit.labels.axes import make_axes
from densevit.labels.settling import settle_cells
from helpers.threads import torch_threads

ALIGNS = ("bilinear", "bicubic")
KINDS = ("random", "near", "tied", "smooth", "constant", "masked")

# PyTorch's kernels without FMA (and its ARM builds) round differently: only pixels tied to a few ulp notice.
same_rounding = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="near-ties equal PyTorch's x86-64 kernels with FMA",
)


@pytest.fixture(autouse=True)
def _several_threads():
    """With one thread PyTorch interpolates three channels, an image's, by a kernel that rounds differently."""
    with torch_threads(2):
        yield


def make(kind: str, classes: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    shape = (classes, height, width)
    noise = random.standard_normal(shape).astype(np.float32)
    if kind == "random":
        return 5 * noise
    if kind == "near":  # all classes alike up to 0 to 3 ulp
        alike = np.repeat(5 * noise[:1], classes, axis=0)
        steps = random.integers(0, 4, shape)
        return (alike.view(np.int32) + steps.astype(np.int32)).view(np.float32)
    if kind == "tied":  # few distinct values: exact ties at many corners and between them
        return random.integers(-1, 2, shape).astype(np.float32) / 3
    if kind == "constant":
        return np.full(shape, 0.3, np.float32)
    coarse = torch.from_numpy(noise[None, :, : height // 8 + 2, : width // 8 + 2])
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)[0].numpy()
    smooth = 6 * smooth + np.float32(0.01) * noise
    if kind == "masked" and classes > 1:
        smooth[random.integers(classes)] = -1e9
    return smooth


def torch_labels(logits: np.ndarray, size: tuple[int, int], align: str = "bilinear") -> np.ndarray:
    tensor = torch.from_numpy(np.ascontiguousarray(logits))[None]
    return F.interpolate(tensor, size=size, mode=align, align_corners=False)[0].argmax(dim=0).numpy()


def check(logits: np.ndarray, size: tuple[int, int], align: str = "bilinear") -> None:
    labels = full_resolution_labels(logits, size, align=align)
    assert labels.shape == size
    assert labels.dtype == (np.uint8 if len(logits) <= 256 else np.uint16)
    np.testing.assert_array_equal(labels, torch_labels(logits, size, align))


@same_rounding
@pytest.mark.parametrize("align", ALIGNS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [4, 8, 16])
def test_strides(stride, kind, align):
    check(make(kind, 19, 15, 22), (15 * stride, 22 * stride), align)


@same_rounding
@pytest.mark.parametrize("align", ALIGNS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("low", "size"),
    [((45, 60), (361, 479)), ((33, 47), (100, 333)), ((90, 70), (31, 29)), ((64, 9), (17, 200))],
)
def test_other_ratios(low, size, kind, align):
    check(make(kind, 7, *low), size, align)


@same_rounding
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_any_shape(data):
    side = st.one_of(st.integers(1, 6), st.integers(1, 24))
    pixels = st.one_of(st.integers(1, 6), st.integers(1, 64), st.integers(60, 190))
    classes = data.draw(st.one_of(st.integers(1, 10), st.integers(1, 40)), "classes")
    low = data.draw(side, "h"), data.draw(side, "w")
    size = data.draw(pixels, "height"), data.draw(pixels, "width")
    kind = data.draw(st.sampled_from(KINDS), "kind")
    logits = make(kind, classes, *low, seed=data.draw(st.integers(0, 2**20), "seed"))
    check(logits, size, data.draw(st.sampled_from(ALIGNS), "align"))


@pytest.mark.parametrize("align", ALIGNS)
@pytest.mark.parametrize("classes", [2, 3, 150, 300])
def test_number_of_classes(classes, align):
    check(make("random", classes, 9, 13), (67, 105), align)
    check(make("smooth", classes, 24, 31), (24 * 8, 31 * 8), align)


@same_rounding
@pytest.mark.parametrize("align", ALIGNS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "factor"),
    [((121, 250), (8.0, 8.0)), ((40, 50), (8.0, 8.0)), ((90, 130), (7.3, 5.1)), ((9, 7), (0.6, 1.7))],
)
def test_scale_with_padding(size, factor, kind, align):
    """Logits that also cover a padding: PyTorch's result for all of them, cropped."""
    logits = make(kind, 5, 17, 33, seed=3)
    full = F.interpolate(
        torch.from_numpy(logits)[None],
        scale_factor=factor,
        mode=align,
        align_corners=False,
        recompute_scale_factor=False,
    )
    expected = full[0].argmax(dim=0).numpy()[: size[0], : size[1]]
    assert expected.shape == size
    labels = full_resolution_labels(logits, size, scale=(1 / factor[0], 1 / factor[1]), align=align)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("align", ALIGNS)
def test_past_the_last_logits_pixel_the_edge_is_repeated(align):
    logits = make("smooth", 5, 9, 9)
    labels = full_resolution_labels(logits, (120, 100), scale=(0.125, 0.125), align=align)
    # The cubic reads the last column once more after its center; from there on nothing changes.
    np.testing.assert_array_equal(labels[84:], np.broadcast_to(labels[84], (36, 100)))
    np.testing.assert_array_equal(labels[:, 84:], np.broadcast_to(labels[:, 84:85], (120, 16)))


@same_rounding
@pytest.mark.parametrize("align", ALIGNS)
@pytest.mark.parametrize("factor", [1e-30, 1e-42, 1e25])
def test_magnitudes(factor, align):
    """Subnormal logits round absolutely, not relatively."""
    for kind in ("near", "smooth"):
        check(make(kind, 4, 11, 9) * np.float32(factor), (11 * 8, 9 * 8), align)


@same_rounding
def test_small_differences_on_large_logits():
    logits = np.float32(4096) + make("random", 6, 12, 16) * np.float32(2**-10)
    check(logits, (96, 128))
    check(logits, (96, 128), "bicubic")


def test_bicubic_overshoot_gives_a_class_that_leads_nowhere():
    """Class 1 loses at every logits pixel, but its deep neighbors have negative weights."""
    logits = np.zeros((2, 6, 6), np.float32)
    logits[1] = -100
    logits[1, 2:4, 2:4] = -1
    check(logits, (48, 48), "bicubic")
    assert full_resolution_labels(logits, (48, 48), align="bicubic").max() == 1
    assert full_resolution_labels(logits, (48, 48)).max() == 0


@pytest.mark.parametrize("depth", [3.0, 6.0, 6.25, 6.5, 8.0, 20.0])
def test_bicubic_overshoot_halfway(depth):
    """Weights -0.09375, 0.59375, 0.59375, -0.09375: the class wins from a depth of 6.33 on."""
    logits = np.zeros((2, 8, 6), np.float32)
    logits[1] = -depth
    logits[1, :, 2:4] = -1
    check(logits, (8, 3), "bicubic")
    assert (full_resolution_labels(logits, (8, 3), align="bicubic")[0, 1] == 1) == (depth > 6.33)
    check(logits.transpose(0, 2, 1), (3, 8), "bicubic")


@same_rounding
@pytest.mark.parametrize("classes", [3, 4, 9, 19])
@pytest.mark.parametrize(
    ("low", "size"), [((6, 7), (64, 64)), ((6, 7), (64, 65)), ((1, 1), (150, 90)), ((1, 2), (150, 90))]
)
def test_where_pytorch_changes_its_kernel(low, size, classes):
    for seed in range(8):
        check(make("near", classes, *low, seed=seed), size)


@pytest.mark.parametrize("align", ALIGNS)
def test_strides_of_the_array_do_not_matter(align):
    logits = make("smooth", 19, 16, 24)
    expected = full_resolution_labels(logits, (128, 192), align=align)
    channels_last = np.ascontiguousarray(logits.transpose(1, 2, 0)).transpose(2, 0, 1)
    reversed_twice = np.ascontiguousarray(logits[:, ::-1, ::-1])[:, ::-1, ::-1]
    for view in (channels_last, reversed_twice, logits.astype(np.float64)):
        before = view.copy()
        np.testing.assert_array_equal(full_resolution_labels(view, (128, 192), align=align), expected)
        np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize("align", ALIGNS)
@pytest.mark.parametrize(
    ("low", "size", "scale"),
    [
        ((20, 31), (160, 248), None),
        ((45, 60), (361, 479), None),
        ((40, 30), (9, 7), None),
        ((20, 31), (150, 240), 0.125),
    ],
)
def test_confidence(low, size, scale, align):
    logits = make("smooth", 19, *low)
    target = size if scale is None else tuple(int(side / scale) for side in low)
    full = F.interpolate(torch.from_numpy(logits)[None], size=target, mode=align, align_corners=False)
    expected = full.double().softmax(dim=1).amax(dim=1)[0].numpy()[: size[0], : size[1]]
    pair = None if scale is None else (scale, scale)
    confidence = full_resolution_confidence(logits, size, scale=pair, align=align)
    assert confidence.dtype == np.float32
    np.testing.assert_allclose(confidence, expected, rtol=2e-5, atol=0)


def test_confidence_of_one_class_and_of_huge_logits():
    assert (full_resolution_confidence(make("random", 1, 4, 5), (32, 40)) == 1).all()
    assert (full_resolution_confidence(make("masked", 3, 4, 5) * np.float32(1e20), (32, 40)) >= 1 / 3).all()


@pytest.mark.parametrize("align", ALIGNS)
def test_most_cells_of_a_smooth_image_are_settled(align):
    """Otherwise the labels would still be right, but slow."""
    coarse = torch.from_numpy(make("random", 19, 6, 10))[None]
    logits = F.interpolate(coarse, size=(128, 256), mode="bicubic", align_corners=False)[0].numpy()
    settled = settle_cells(logits, *make_axes(logits, (1024, 2048), None, align), align, np.uint8)[1]
    assert settled.mean() > {"bilinear": 0.8, "bicubic": 0.5}[align]
    check(logits, (1024, 2048), align)


@pytest.mark.parametrize(
    ("function", "share"), [(full_resolution_labels, 0.15), (full_resolution_confidence, 0.15)]
)
def test_memory(function, share):
    """The (classes, height, width) array must not exist, not even in parts that grow with the image."""
    logits = make("smooth", 19, 128, 256)
    tracemalloc.start()
    result = function(logits, (1024, 2048))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - result.nbytes < share * 19 * 1024 * 2048 * 4


GOOD = np.zeros((3, 4, 5), np.float32)
NOT_FINITE = [np.pad(GOOD[:, 1:], ((0, 0), (0, 1), (0, 0)), constant_values=bad) for bad in (np.nan, np.inf)]
NOT_FINITE += [-NOT_FINITE[1], GOOD + np.float64(1e300)]


@pytest.mark.parametrize("function", [full_resolution_labels, full_resolution_confidence])
@pytest.mark.parametrize(
    ("logits", "arguments", "message"),
    [
        (GOOD[0], {}, "shape"),
        (GOOD[None], {}, "shape"),
        (GOOD[:0], {}, "shape"),
        (GOOD[:, :, :0], {}, "shape"),
        (np.broadcast_to(GOOD[:1, :1, :1], (65537, 1, 1)), {}, "65537 classes"),
        (GOOD.astype(np.int64), {}, "int64"),
        *((bad, {}, "NaN or infinity") for bad in NOT_FINITE),
        (GOOD, {"size": (0, 5)}, "size"),
        (GOOD, {"size": (5, -1)}, "size"),
        (GOOD, {"size": (5,)}, "size"),
        (GOOD, {"scale": (0.0, 1.0)}, "scale"),
        (GOOD, {"scale": (1.0, float("nan"))}, "scale"),
        (GOOD, {"scale": (1.0, -0.5)}, "scale"),
        (GOOD, {"scale": (1.0,)}, "scale"),
        (GOOD, {"align": "nearest"}, "align"),
    ],
)
def test_errors(function, logits, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        function(logits, **{"size": (8, 10), **arguments})
    assert "allowed" in str(error.value)
