"""Enlarging through the task: types and layers kept, any size, tiles that nobody sees."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import densevit
from densevit.core.errors import InputError
from densevit.core.manifest import super_resolution_manifest
from densevit.imaging import Photo, enlarge, read_photo
from densevit.tasks.super_resolution import SuperResolution, SuperResolutionResult, make_super_resolution_task
from densevit.tasks.tiled import Tiled
from helpers import tiny


@pytest.fixture
def model():
    """A model with random weights, which no test leaves changed."""
    return densevit.load(tiny.sr_graph(), precision="fp32", threads=1)


def identity(task: SuperResolution):
    """In place of a network: every pixel becomes a square of its own color."""
    return lambda function, tensors: {"enlarged": tensors["image"].repeat(task.scale, 2).repeat(task.scale, 3)}


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([np.uint8, np.uint16]),
    st.booleans(),
    st.sampled_from([None, 80, 96]),
)
@settings(max_examples=40, deadline=None)
def test_every_pixel_comes_back_at_its_place(height, width, dtype, transparent, tile):
    task = SuperResolution(2)
    generator = np.random.default_rng(height)
    most = np.iinfo(dtype).max
    pixels = generator.integers(0, most + 1, (height, width, 3)).astype(dtype)
    alpha = generator.integers(0, most + 1, (height, width)).astype(dtype) if transparent else None
    photo = Photo(pixels, alpha)
    if tile is None:
        result = task.answer(task.prepare(photo), identity(task))
    else:
        result = Tiled(task, tile).answer(photo, identity(task))
    assert result.image.dtype == dtype
    np.testing.assert_array_equal(result.image, pixels.repeat(2, 0).repeat(2, 1))
    if alpha is None:
        assert result.alpha is None
    else:
        expected = np.clip(np.rint(enlarge(alpha, 2)), 0, most)
        assert np.abs(result.alpha.astype(float) - expected).max() <= 1


class TestModel:
    @pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (17, 33), (48, 64)])
    def test_any_size(self, model, shape):
        result = model.predict(tiny.image(*shape))
        assert result.image.shape == (2 * shape[0], 2 * shape[1], 3)
        assert result.to_json() == {"height": 2 * shape[0], "width": 2 * shape[1], "scale": 2}

    def test_nothing_but_rounding_differs_between_8_and_16_bits(self, model):
        image = tiny.image(40, 50)
        eight = model.predict(image).image.astype(float)
        sixteen = model.predict(image.astype(np.uint16) * 257).image.astype(float)
        assert np.abs(sixteen / 257 - eight).max() <= 0.51

    def test_kinds_of_images(self, model, tmp_path):
        image = Image.fromarray(tiny.image(20, 24))
        image.convert("L").save(tmp_path / "gray.png")
        image.convert("CMYK").save(tmp_path / "cmyk.jpg")
        image.convert("RGBA").save(tmp_path / "alpha.png")
        image.quantize(8).save(tmp_path / "palette.gif")
        for path in tmp_path.iterdir():
            assert model.predict(path).image.shape == (40, 48, 3)

    def test_a_bad_image_does_not_stop_the_others(self, model, tmp_path):
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
        first, second = model.stream([bad, tiny.image(20, 20)])
        assert "bad.png" in str(first)
        assert second.image.shape == (40, 40, 3)

    def test_runtimes_agree(self, model):
        pytest.importorskip("torch")
        eager = densevit.load(tiny.sr_safetensors(), runtime="eager", precision="fp32", threads=1)
        image = tiny.image(40, 56)
        difference = eager.predict(image).image.astype(int) - model.predict(image).image
        assert np.abs(difference).max() <= 1

    def test_there_are_no_logits(self, model):
        assert not hasattr(model, "logits")


class TestTiles:
    """What the bundled weights do at full size is measured in benchmarks/upscale_tiles.py."""

    @staticmethod
    def enlarge(image, tile):
        return densevit.load(tiny.sr_graph(), precision="fp32", threads=1, tile=tile).predict(image).image

    def test_like_the_whole_and_nowhere_worse_at_the_seams(self):
        image = tiny.image(300, 420)
        tiled = self.enlarge(image, 128).astype(float)
        whole = self.enlarge(image, "whole").astype(float)
        error = (tiled - whole) ** 2
        assert 10 * np.log10(255**2 / max(error.mean(), 1e-12)) >= 50
        seams = np.zeros(error.shape[:2], bool)
        # windows of 128 start every 64 pixels; their answers meet 32 pixels further
        for axis, side in enumerate(error.shape[:2]):
            for border in range(2 * 96, side, 2 * 64):
                index = [slice(None)] * 2
                index[axis] = slice(border - 4, border + 4)
                seams[tuple(index)] = True
        assert np.sqrt(error[seams].mean()) <= 1.25 * np.sqrt(error[~seams].mean()) + 0.02

    def test_a_tile_larger_than_the_image_is_the_whole(self):
        image = tiny.image(60, 70)
        np.testing.assert_array_equal(self.enlarge(image, 4096), self.enlarge(image, "whole"))


class TestResult:
    def result(self, dtype=np.uint8, alpha=False, height=10):
        most = np.iinfo(dtype).max
        image = np.full((height, 12, 3), most // 2, dtype)
        layer = np.full((2 * height, 24), most, dtype) if alpha else None
        return SuperResolutionResult(np.full((2 * height, 24, 3), most, dtype), image, 2, layer)

    def test_save_keeps_depth_and_transparency(self, tmp_path):
        (path,) = self.result(np.uint16, alpha=True).save(tmp_path / "new" / "a.png")
        photo = read_photo(path)
        assert photo.pixels.dtype == np.uint16
        assert photo.alpha is not None
        with pytest.raises(ValueError, match="transparency"):
            self.result(alpha=True).save(tmp_path / "a.jpg")

    def test_compare_is_bicubic_beside_ours(self, tmp_path):
        for dtype in (np.uint8, np.uint16):
            drawing = self.result(dtype).compare()
            assert drawing.array.dtype == np.uint8
            assert drawing.array.shape == (20, 48, 3)
            assert np.abs(drawing.array[:, :24].astype(int) - 127).max() <= 1
            assert (drawing.array[:, 24:] == 255).all()
        drawing.save(tmp_path / "a.jpg")

    def test_shapes_must_fit(self):
        with pytest.raises(ValueError, match="must be"):
            replace(self.result(), scale=3)


class TestTask:
    def test_scale_follows_from_the_architecture(self):
        assert make_super_resolution_task(super_resolution_manifest("a", "sr-x3")).scale == 3
        with pytest.raises(ValueError, match="unknown architecture"):
            make_super_resolution_task(super_resolution_manifest("a", "sr-x9"))

    def test_only_the_native_size(self):
        manifest = super_resolution_manifest("a", "sr-x2")
        for size in (None, "native", "published"):
            assert str(make_super_resolution_task(manifest, size=size).size) == "native"
        with pytest.raises(ValueError, match="own size"):
            make_super_resolution_task(manifest, size="short:100")

    def test_postprocess_needs_the_image(self):
        task = SuperResolution(2)
        image = tiny.image(17, 20)
        photo = Photo(image)
        tensors, placement = task.preprocess(photo)
        assert tensors["image"].shape == (1, 3, 32, 32)
        raw = identity(task)("forward", tensors)
        np.testing.assert_array_equal(
            task.postprocess(raw, placement, photo).image, image.repeat(2, 0).repeat(2, 1)
        )
        with pytest.raises(ValueError, match="needs the image"):
            task.postprocess(raw, placement)
        with pytest.raises(ValueError, match="enlarged must be float32"):
            task.postprocess({"enlarged": raw["enlarged"][0]}, placement, photo)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_an_output_that_is_not_finite_is_refused(self, value):
        # it became a black image
        task = SuperResolution(2)

        def run(function, tensors):
            raw = identity(task)(function, tensors)
            raw["enlarged"][0, 0, 3, 3] = value
            return raw

        with pytest.raises(InputError, match="not finite for this image; use precision fp32"):
            task.answer(task.prepare(Photo(tiny.image(20, 20))), run)

    @pytest.mark.parametrize("tile", [64, 100])
    def test_tiles_that_cannot_be(self, tile):
        with pytest.raises(ValueError, match="tile"):
            Tiled(SuperResolution(2), tile)
