"""An image into the encoder of a Segment Anything model, against the published steps in Pillow and numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from densevit.core.errors import InputError
from densevit.imaging import ImageError, Placement, Size, SizePolicy
from densevit.tasks.promptable import Promptable, Scene, make_promptable_task
from densevit.tasks.table import make_task
from densevit.zoo import ZOO, find_model
from helpers import tiny

# reference/efficientvit.md, section 7; levels of 0..255
MEAN = np.array([123.675, 116.28, 103.53])
STD = np.array([58.395, 57.12, 57.375])
SIDES = {
    "sam-l0": 512,
    "sam-l1": 512,
    "sam-l2": 512,
    "sam-xl0": 1024,
    "sam-xl1": 1024,
    "sam-b1": 512,
    "mobile-sam": 1024,
}


def published(image: np.ndarray, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """-> (3, side, side), and the size to which the image is resized."""
    scale = side / max(image.shape[:2])
    height, width = (int(length * scale + 0.5) for length in image.shape[:2])
    pillow_image = Image.fromarray(image)
    if max(image.shape[:2]) != side:
        pillow_image = pillow_image.resize((width, height), Image.Resampling.BILINEAR)
    square = np.zeros((side, side, 3))
    square[:height, :width] = (np.asarray(pillow_image).astype(float) - MEAN) / STD
    return square.transpose(2, 0, 1), (height, width)


def check(task: Promptable, image: np.ndarray, side: int) -> None:
    expected, content = published(image, side)
    tensors, placement = task.preprocess(image)
    (tensor,) = tensors["image"]
    assert tensors.keys() == {"image"}
    assert tensor.dtype == np.float32
    assert tensor.shape == expected.shape
    assert np.abs(tensor - expected).max() < 1e-5
    assert placement == Placement(Size.of(image), Size(*content), Size(side, side))


SHAPES = [(480, 640), (640, 480), (300, 300), (60, 50), (1200, 1201), (100, 1500), (5, 1024), (1024, 3), (1, 1)]


@pytest.mark.parametrize("size", [None, "published"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["sam-l0", "sam-xl0"])
def test_it_is_the_published_preprocessing(name, shape, size):
    check(make_task(find_model(name).manifest(), size=size), tiny.image(*shape), SIDES[name])


@pytest.mark.parametrize("name", SIDES)
def test_a_image_of_that_side_is_not_resized(name):
    side = SIDES[name]
    image = tiny.image(side // 2 + 1, side)
    tensors, placement = make_task(find_model(name).manifest()).preprocess(image)
    content = tensors["image"][0, :, : side // 2 + 1].transpose(1, 2, 0)
    assert placement.content == Size.of(image)
    assert np.array_equal(np.rint(content * STD + MEAN), image)
    assert not tensors["image"][0, :, side // 2 + 1 :].any()


@given(height=st.integers(1, 200), width=st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_any_aspect_ratio(height, width):
    # a small encoder: the same arithmetic
    small = Promptable(tuple(MEAN / 255), tuple(STD / 255), size=SizePolicy.parse("long:64"), side_px=64)
    if min(height, width) * 64 < max(height, width) / 2:
        # would vanish; the official code fails there
        assert min(small.preprocess(tiny.image(height, width))[1].content) == 1
    else:
        check(small, tiny.image(height, width), 64)


@pytest.mark.parametrize(
    ("shape", "content"),
    [((5, 1024), (3, 512)), ((1, 1024), (1, 512)), ((1024, 3), (512, 2)), ((333, 500), (341, 512))],
)
def test_halves_are_rounded_up(shape, content):
    _, placement = make_task(find_model("sam-l0").manifest()).preprocess(np.zeros((*shape, 3), np.uint8))
    assert placement.content == content


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_a_side_never_vanishes(shape):
    tensors, placement = make_task(find_model("sam-l0").manifest()).preprocess(np.full((*shape, 3), 255, np.uint8))
    assert sorted(placement.content) == [1, 512]
    assert (tensors["image"] != 0).sum() == 3 * 512


def test_padding_is_zero_after_normalization():
    # black is far below zero once it is normalized
    task = make_task(find_model("sam-l0").manifest())
    black = task.preprocess(np.zeros((100, 200, 3), np.uint8))[0]["image"][0]
    assert np.abs(black[:, :256] + (MEAN / STD)[:, None, None]).max() < 1e-5
    assert black[:, :256].max() < -1.8
    assert not black[:, 256:].any()
    tall = task.preprocess(np.zeros((200, 100, 3), np.uint8))[0]["image"][0]
    assert tall[:, :, :256].max() < -1.8
    assert not tall[:, :, 256:].any()


def test_points_of_the_image_in_the_encoders_input():
    _, placement = make_task(find_model("sam-xl0").manifest()).preprocess(np.zeros((300, 400, 3), np.uint8))
    points = [[0, 0], [400, 300], [100, 30]]
    there = placement.points_to_tensor(points)
    assert there == pytest.approx(np.array([[0, 0], [1024, 768], [256, 76.8]]))
    assert placement.points_to_image(there) == pytest.approx(np.array(points))
    assert placement.offset == (0, 0)


# --- sizes


@pytest.mark.parametrize("name", SIDES)
def test_the_published_size_is_the_default(name):
    task = make_promptable_task(find_model(name).manifest())
    assert str(task.size) == f"long:{SIDES[name]}"
    assert task.side_px == SIDES[name]
    assert str(make_promptable_task(find_model(name).manifest(), size="published").size) == f"long:{SIDES[name]}"
    assert SIDES.keys() == {name for name, entry in ZOO.items() if entry.task == "promptable"}


def test_a_smaller_size_leaves_more_room():
    task = make_promptable_task(find_model("sam-l0").manifest(), size="long:100")
    tensors, placement = task.preprocess(tiny.image(300, 200))
    assert (placement.content, placement.tensor) == ((100, 67), (512, 512))
    image = tensors["image"][0].copy()
    assert image.shape == (3, 512, 512)
    assert image[:, :100, :67].std() > 0.1
    image[:, :100, :67] = 0
    assert not image.any()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("sam-l0", size) for size in ("long:513", "long:1024", "short:512", "native", "exact:512x512")),
        *(("sam-l0", "long:512/32"), ("sam-xl0", "long:1025")),
    ],
)
def test_other_sizes_are_refused(name, size):
    message = rf"size: got {size}; allowed for promptable models: long:S, S at most {SIDES[name]}"
    with pytest.raises(ValueError, match=message):
        make_promptable_task(find_model(name).manifest(), size=size)


@pytest.mark.parametrize("size", ["huge", "long:0", "long", "512"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match=r"size: got .*; allowed: native"):
        make_promptable_task(find_model("sam-l0").manifest(), size=size)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)]
)
def test_other_images_are_refused(image):
    with pytest.raises(ValueError, match="image: got") as caught:
        make_task(find_model("sam-l0").manifest()).preprocess(image)
    assert not isinstance(caught.value, ImageError)


# --- what passes between the task and a runtime


@pytest.mark.parametrize("name", SIDES)
def test_signatures_are_what_passes_between_task_and_runtime(name):
    side = SIDES[name]
    task = make_task(find_model(name).manifest())
    assert list(task.signatures) == ["encode_image", "decode_masks", "refine_masks", "propose_masks"]
    signature = task.signatures["encode_image"]
    (source,), (target,) = signature.inputs, signature.outputs
    assert (source.name, source.dtype, source.shape) == ("image", "float32", ("batch", 3, side, side))
    assert (target.name, target.dtype, target.shape) == ("embedding", "float32", ("batch", 256, 64, 64))
    tensors, _ = task.preprocess(tiny.image(60, 90))
    signature.check_inputs(tensors)
    with pytest.raises(ValueError, match="image must be float32"):
        signature.check_inputs({"image": tensors["image"][:, :, : side - 16]})


def test_an_encoder_takes_it_and_gives_a_scene():
    from densevit.models.build import create_model
    from densevit.runtimes.eager import EagerRuntime

    tiny.one_thread()
    manifest = find_model("sam-l0").manifest()
    task = make_task(manifest)
    image = tiny.image(60, 90)
    tensors, placement = task.preprocess(image)
    raw = EagerRuntime(create_model("sam-l0").eval(), manifest, device="cpu").run("encode_image", tensors)
    scene = task.postprocess(raw, placement, image)
    assert (scene.embedding.shape, scene.embedding.dtype) == ((256, 64, 64), np.float32)
    assert np.isfinite(scene.embedding).all()
    assert scene.placement is placement
    assert scene.image is image


@pytest.mark.parametrize(
    "embedding",
    [
        np.zeros((1, 256, 64, 32), np.float32),
        np.zeros((1, 128, 64, 64), np.float32),
        np.zeros((256, 64, 64), np.float32),
        np.zeros((1, 256, 64, 64), np.float64),
    ],
)
def test_other_embeddings_are_refused(embedding):
    task = make_task(find_model("sam-l0").manifest())
    placement = Placement(Size(64, 64), Size(512, 512), Size(512, 512))
    with pytest.raises(ValueError, match=r"embedding must be float32 \('batch', 256, 64, 64\), got"):
        task.postprocess({"embedding": embedding}, placement)


@pytest.mark.parametrize("shape", [(1, 256, 64, 64), (64, 64, 256), (256, 64), (256, 32, 32)])
def test_a_scene_validates_its_shape(shape):
    placement = Placement(Size(64, 64), Size(512, 512), Size(512, 512))
    with pytest.raises(ValueError, match=r"embedding is .*, must be \(256, 64, 64\)"):
        Scene(np.zeros(shape, np.float32), placement)
    assert Scene(np.zeros((256, 64, 64), np.float32), placement).image is None


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_an_embedding_that_is_not_finite_is_refused(value):
    made = make_task(find_model("sam-l0").manifest())
    _, placement = made.preprocess(tiny.image(30, 40))
    embedding = np.zeros((1, 256, 64, 64), np.float32)
    embedding[0, 7, 3, 3] = value
    with pytest.raises(InputError, match="not finite for this image"):
        made.postprocess({"embedding": embedding}, placement)
