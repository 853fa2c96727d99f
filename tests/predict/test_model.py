"""Images through a model: one, a list, a batch, a stream; and what happens with those that cannot be used."""

import re
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from densevit.core.errors import DensevitError, InputError, UnavailableError, UsageError
from densevit.imaging import ImageError
from densevit.predict.loading import KINDS, load
from densevit.predict.model import Model
from densevit.predict.segment_anything import SegmentAnything
from densevit.runtimes.base import OutOfMemoryError
from densevit.tasks.segmentation import SegmentationResult
from densevit.tasks.table import make_task
from densevit.zoo import find_model
from helpers import tiny


@pytest.fixture(scope="module")
def model():
    return load(tiny.graph(), threads=1)


@pytest.fixture
def images(tmp_path):
    """Paths of four images of different sizes and formats."""
    paths = [tmp_path / name for name in ("a.png", "b.bmp", "c.jpg", "d.png")]
    for index, path in enumerate(paths):
        Image.fromarray(tiny.image(32 + 9 * index, 64 - 5 * index, seed=index)).save(path)
    return paths


def test_a_result_is_that_of_the_network_at_the_images_size(model):
    image = tiny.image(50, 77)
    result = model.predict(image)
    assert isinstance(result, SegmentationResult)
    logits = model.logits(image)
    assert logits.shape == (11, 8, 12)
    assert logits.dtype == np.float32
    up = F.interpolate(torch.from_numpy(logits)[None], scale_factor=8, mode="bilinear")[0, :, :50, :77]
    assert np.array_equal(result.labels, up.argmax(0).numpy())
    assert np.array_equal(result.image, image)
    assert result.class_names == tiny.manifest().class_names
    assert result.confidence().shape == (50, 77)
    assert len(result.fractions()) > 2


def test_a_path_an_image_and_an_array_are_the_same_image(model, images):
    path = images[0]
    by_path = model.predict(path)
    with Image.open(path) as image:
        by_image = model.predict(image)
        by_array = model.predict(np.array(image))
    by_text = model.predict(str(path))
    for other in (by_image, by_array, by_text):
        assert np.array_equal(other.labels, by_path.labels)


def test_a_list_gives_a_list_in_order(model, images):
    results = model.predict(images)
    assert isinstance(results, list)
    assert [result.labels.shape for result in results] == [(32 + 9 * i, 64 - 5 * i) for i in range(4)]
    for path, result in zip(images, results, strict=True):
        assert np.array_equal(model.predict(path).labels, result.labels)
    assert model.predict([]) == []
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        model.predict([images[0], images[0].with_name("gone.png")])


@pytest.mark.parametrize("size", [(64, 96), (50, 77)])
def test_arrays_that_may_not_be_written_to(model, size):
    image = tiny.image(*size)
    expected = model.predict(image.copy()).labels
    kept = image.copy()
    image.setflags(write=False)
    assert np.array_equal(model.predict(image).labels, expected)
    turned = np.ascontiguousarray(kept[::-1])[::-1]
    assert np.array_equal(model.predict(turned).labels, expected)
    assert np.array_equal(model.predict(np.asarray(Image.fromarray(kept))).labels, expected)
    assert np.array_equal(image, kept)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (257, 1)])
def test_images_of_one_pixel_width(model, size):
    result = model.predict(tiny.image(*size))
    assert result.labels.shape == size
    assert sum(result.fractions().values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "source", [np.zeros((4, 4), np.float32), np.zeros((0, 4, 3), np.uint8), 7, None, "", "no such.jpg"]
)
def test_sources_that_are_not_images_are_refused(model, source):
    with pytest.raises(ImageError) as caught:
        model.predict(source)
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError):
        model.logits(source)


def test_large_files_are_refused_before_decoding(model, images):
    with pytest.raises(ImageError, match=r"a\.png: too large"):
        model.predict(images[0], max_pixels=100)
    (error,) = model.stream([images[0]], max_pixels=100)
    assert isinstance(error, ImageError)


def test_an_image_that_cannot_be_fitted_is_named(images):
    long = images[0].with_name("long.png")
    Image.fromarray(np.zeros((1, 3000, 3), np.uint8)).save(long)
    wide = load(tiny.graph(), size="short:1000", threads=1)
    with pytest.raises(ImageError, match=r"long\.png: image of 3000 x 1 px"):
        wide.predict(long)


def test_a_stream_keeps_the_order_and_goes_on_after_bad_images(model, images, tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "broken.png").write_bytes(images[0].read_bytes()[:60])
    sources = [images[0], tmp_path / "empty.png", images[1], tmp_path / "gone.png", tmp_path / "broken.png"]
    sources += [np.zeros((5, 6), np.int32), *images[2:]]
    results = list(model.stream(iter(sources)))
    kinds = [type(result) for result in results]
    good, bad = SegmentationResult, ImageError
    assert kinds == [good, bad, good, bad, bad, bad, good, good]
    for index, name in [(1, "empty.png"), (3, "gone.png"), (4, "broken.png")]:
        assert name in str(results[index])
        assert "\n" not in str(results[index])
    for source, result in zip(sources, results, strict=True):
        if isinstance(result, good):
            assert np.array_equal(result.labels, model.predict(source).labels)


@pytest.mark.parametrize("prefetch", [0, 1, 100])
def test_a_stream_reads_no_more_than_it_needs(model, prefetch):
    taken = []

    def source():
        for index in range(8):
            taken.append(index)
            yield tiny.image(33, 34 + index)

    stream = model.stream(source(), prefetch=prefetch)
    assert taken == []
    assert next(stream).labels.shape == (33, 34)
    assert len(taken) == min(8, prefetch + 1)
    assert [result.labels.shape[1] for result in stream] == list(range(35, 42))
    assert list(model.stream([], prefetch=prefetch)) == []


def test_an_array_that_is_filled_again_counts_as_it_was_handed_over(model):
    images = [tiny.image(32, 64, seed=seed) for seed in range(5)]

    def source():
        buffer = np.empty_like(images[0])
        for image in images:
            buffer[:] = image
            yield buffer

    for image, result in zip(images, model.stream(source()), strict=True):
        assert np.array_equal(result.image, image)
        assert np.array_equal(result.labels, model.predict(image).labels)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("densevit")]


def test_no_thread_stays(model):
    endless = (tiny.image(32, 32) for _ in iter(int, 1))
    stream = model.stream(endless)
    next(stream)
    assert len(readers()) == 1
    stream.close()
    assert readers() == []
    list(model.stream([tiny.image(32, 32)] * 3))
    assert readers() == []


def test_a_source_that_fails_says_so_and_leaves_no_thread(model):
    def source():
        yield tiny.image(32, 32)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(model.stream(source()))
    assert readers() == []


def test_a_model_says_what_it_is(model):
    assert repr(model) == "Segmenter(tiny, openvino, fp32, cpu)"


# --- whose fault it is


class Runs:
    """A runtime that calls a function with the network's input; what that raises comes out."""

    name, precision, device = "runs", "fp32", "cpu"

    def __init__(self, run) -> None:
        self.call = run

    def run(self, function, tensors):
        return self.call(tensors)


def answer(tensors) -> dict:
    """Logits of the right shape: class 1 everywhere."""
    batch, height, width, _ = tensors["image"].shape
    logits = np.zeros((batch, 11, height // 8, width // 8), np.float32)
    logits[:, 1] = 1
    return {"logits": logits}


def model_that(run, manifest=None, tile="auto") -> Model:
    manifest = manifest or tiny.manifest()
    kind = KINDS[manifest.task]
    return kind(make_task(manifest, tile=tile), Runs(run), manifest)


def failing_on(error: Exception, *, width: int = 40):
    """A network that fails on images of one width."""

    def run(tensors):
        if tensors["image"].shape[2] == width // 32 * 32 + 32:
            raise error
        return answer(tensors)

    return run


BUGS = [
    ValueError("operands could not be broadcast together with shapes (3,4) (4,3)"),
    TypeError("unsupported operand"),
    IndexError("index 9 is out of bounds"),
    KeyError("logits"),
    RuntimeError("[CPU] unsupported node"),
    UnavailableError("device cuda:0 is lost"),
    UsageError("no such function"),
]


@pytest.mark.parametrize("error", BUGS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("ask", ["predict", "predict a list", "predict_batch", "stream", "logits"])
def test_an_internal_failure_is_not_blamed_on_the_image(error, ask):
    model = model_that(failing_on(error))
    image = tiny.image(32, 40)
    calls = {
        "predict": lambda: model.predict(image),
        "predict a list": lambda: model.predict([tiny.image(32, 32), image]),
        "predict_batch": lambda: model.predict_batch([image, image]),
        "stream": lambda: list(model.stream([tiny.image(32, 32), image, tiny.image(32, 32)])),
        "logits": lambda: model.logits(image),
    }
    with pytest.raises(type(error)) as caught:
        calls[ask]()
    assert caught.value is error
    # the traceback leads to the place that failed
    assert caught.traceback[-1].name == "run"
    assert readers() == []


@pytest.mark.parametrize("error", BUGS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["preprocess", "postprocess"])
def test_nor_is_a_failure_of_the_task(error, step, monkeypatch):
    model = model_that(answer)

    def fail(*_):
        raise error

    monkeypatch.setattr(model.task, step, fail)
    with pytest.raises(type(error)) as caught:
        list(model.stream([tiny.image(32, 32)]))
    assert caught.value is error


@pytest.mark.parametrize("shape", [(1, 12, 4, 4), (1, 11, 4), (11, 4, 4)])
def test_outputs_of_a_wrong_shape_are_a_bug(shape):
    model = model_that(lambda tensors: {"logits": np.zeros(shape, np.float32)})
    with pytest.raises(ValueError, match="logits must be float32") as caught:
        model.predict(tiny.image(32, 32))
    assert not isinstance(caught.value, DensevitError)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_says_what_to_do(value, images):
    def run(tensors):
        raw = answer(tensors)
        if tensors["image"].shape[1] == 64:
            raw["logits"][0, 3, 1, 1] = value
        return raw

    model = model_that(run)
    first, second, *_ = model.stream(images)
    assert first.labels.shape == (32, 64)
    assert type(second) is ImageError
    assert str(second) == (
        f"{images[1]}: the network's output is not finite for this image; use precision fp32, or check the weights"
    )
    assert isinstance(second.__cause__, InputError)
    with pytest.raises(ImageError, match=r"b\.bmp: the network's output is not finite"):
        model.predict(images[:3])


def test_the_name_of_an_image_stands_once(images):
    model = model_that(answer)

    def run(tensors):
        raise ImageError(f"{images[0]}: cannot be used")

    model.runtime.call = run
    (error,) = model.stream(images[:1])
    assert str(error) == f"{images[0]}: cannot be used"
    odd = images[0].with_name("two\nlines.png")
    images[0].rename(odd)
    model.runtime.call = failing_on(MemoryError())
    (error,) = model.stream([odd])
    assert "\n" not in str(error)


# --- memory


OUT = [MemoryError("Unable to allocate 9.31 GiB"), MemoryError(), OutOfMemoryError("OpenVINO ran out of memory")]


@pytest.mark.parametrize("error", OUT)
def test_out_of_memory_is_the_images_and_the_others_go_on(error, images):
    model = model_that(failing_on(error, width=59))
    results = list(model.stream([images[0], images[1], tiny.image(32, 128)]))
    # the first two are 64 pixels wide after padding
    assert [type(result) for result in results] == [ImageError, ImageError, SegmentationResult]
    said = str(results[0])
    assert said.startswith(f"{images[0]}: ")
    assert (str(error) or "MemoryError") in said
    assert said.endswith("; use a smaller size (--size, size=)")
    with pytest.raises(ImageError, match="use fewer images in a batch, or use a smaller size"):
        model.predict_batch([images[0], images[0]])
    with pytest.raises(ImageError, match=r"a\.png: .*use a smaller size"):
        model.logits(images[0])


def test_memory_that_ends_while_an_image_is_read(images, monkeypatch):
    model = model_that(answer)

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(model.task, "preprocess", fail)
    (error,) = model.stream(images[:1])
    assert type(error) is ImageError
    assert "use a smaller size" in str(error)


def test_the_advice_works_for_segmentation():
    def small(tensors):
        if tensors["image"].shape[1] > 64:
            raise MemoryError
        return answer(tensors)

    with pytest.raises(ImageError, match=r"use a smaller size \(--size, size=\)"):
        model_that(small).predict(tiny.image(200, 200))
    manifest = tiny.manifest()
    smaller = Model(make_task(manifest, size="short:64"), Runs(small), manifest)
    assert smaller.predict(tiny.image(200, 200)).labels.shape == (200, 200)
    loaded = load(tiny.graph(), size="short:64", threads=1)
    assert loaded.predict(tiny.image(200, 200)).labels.shape == (200, 200)


def test_the_advice_works_for_classification():
    manifest = find_model("cls-b1-r224").manifest()

    def small(tensors):
        if tensors["image"].shape[1] > 64:
            raise MemoryError
        return {"logits": np.zeros((1, 1000), np.float32)}

    with pytest.raises(ImageError, match=r"use a smaller size \(--size, size=\)"):
        model_that(small, manifest).predict(tiny.image(200, 200))
    smaller = Model(make_task(manifest, size="short:64"), Runs(small), manifest)
    assert len(smaller.predict(tiny.image(200, 200)).top()) == 5


def test_the_advice_works_for_super_resolution():
    # it was "try a smaller size", which super-resolution refuses
    manifest = find_model("sr-x2").manifest()

    def small(tensors):
        if tensors["image"].shape[2] > 256:
            raise MemoryError
        return {"enlarged": tensors["image"].repeat(2, 2).repeat(2, 3)}

    model = model_that(small, manifest)
    with pytest.raises(ImageError, match=r"use smaller tiles \(--tile 256, tile=256\)"):
        model.predict(tiny.image(300, 600))
    model = model_that(small, manifest, tile=256)
    assert model.predict(tiny.image(300, 600)).image.shape == (600, 1200, 3)


def test_the_advice_works_for_promptable_models():
    advice = make_task(find_model("sam-xl0").manifest()).memory_advice
    assert advice == "use a smaller image, or a smaller model (sam-l0)"

    def encode(tensors):
        if tensors["image"].shape[2] > 512:
            raise MemoryError
        return {"embedding": np.zeros((1, 256, 64, 64), np.float32)}

    large, small = (find_model(name).manifest() for name in ("sam-xl0", "sam-l0"))
    with pytest.raises(ImageError, match=re.escape(advice)):
        SegmentAnything(make_task(large), Runs(encode), large).encode(tiny.image(64, 64))
    scene = SegmentAnything(make_task(small), Runs(encode), small).encode(tiny.image(64, 64))
    assert scene.embedding.shape == (256, 64, 64)


# --- batches


def test_a_batch_is_each_image_alone(model):
    batch = [tiny.image(40, 60, seed=seed) for seed in range(3)]
    for result, image in zip(model.predict_batch(batch), batch, strict=True):
        assert np.array_equal(result.labels, model.predict(image).labels)


def test_a_batch_without_images_has_no_results(model):
    assert model.predict_batch([]) == []


def test_a_batch_of_several_sizes_is_refused(model):
    with pytest.raises(UsageError, match=r"one working size.*use stream"):
        model.predict_batch([tiny.image(32, 32), tiny.image(64, 64)])
    results = list(model.stream([tiny.image(32, 32), tiny.image(64, 64)]))
    assert [result.labels.shape for result in results] == [(32, 32), (64, 64)]


def test_a_batch_of_a_task_that_takes_images_one_by_one():
    model = model_that(lambda tensors: {}, find_model("sr-x2").manifest())
    with pytest.raises(UsageError, match=r"takes images one by one.*use stream"):
        model.predict_batch([tiny.image(16, 16)])
    assert model.predict_batch([]) == []
