"""Embeddings are made once, found by what decides on them, and made again where a file is damaged."""

import numpy as np
import pytest

from densevit import imaging
from densevit.core.errors import InputError
from densevit.predict.loading import load
from densevit.train.embeddings import EmbeddingCache, PromptableTeacher
from densevit.variants.segment_anything import EMBEDDING_SHAPE
from helpers import tiny, tiny_promptable


class Teacher:
    """Answers with the image's own first values, and counts."""

    def __init__(self, identity="first", factor=1.0):
        self.identity = identity
        self.factor = factor
        self.asked = 0

    def __call__(self, image):
        self.asked += 1
        values = np.resize(image[:8, :8].astype(np.float32) / 255, EMBEDDING_SHAPE)
        return values * self.factor


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    imaging.save(tiny.image(20, 30), path)
    return path


def test_made_once_and_read_as_written(tmp_path, image):
    teacher = Teacher()
    first = EmbeddingCache(tmp_path / "cache", teacher)(image, False)
    again = EmbeddingCache(tmp_path / "cache", teacher)(image, False)
    assert teacher.asked == 1
    assert first.dtype == again.dtype == np.float16
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, teacher(imaging.read(image)).astype(np.float16))
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".safetensors"]


def test_mirrored_images_other_contents_and_other_teachers_have_entries_of_their_own(tmp_path, image):
    teacher = Teacher()
    cache = EmbeddingCache(tmp_path / "cache", teacher)
    mirrored = cache(image, True)
    np.testing.assert_array_equal(mirrored, teacher(imaging.read(image)[:, ::-1]).astype(np.float16))
    assert not np.array_equal(cache(image, False), mirrored)
    imaging.save(tiny.image(20, 30, seed=1), image)
    assert not np.array_equal(cache(image, True), mirrored)
    other = Teacher("second", factor=2.0)
    np.testing.assert_allclose(
        EmbeddingCache(tmp_path / "cache", other)(image, True), 2 * cache(image, True), rtol=1e-3
    )
    assert len(list((tmp_path / "cache").iterdir())) == 4


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: data[:-1] + b"\x07", lambda data: b""])
def test_a_damaged_file_is_made_again(tmp_path, image, damage):
    teacher = Teacher()
    cache = EmbeddingCache(tmp_path / "cache", teacher)
    first = cache(image, False)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(cache(image, False), first)
    np.testing.assert_array_equal(cache(image, False), first)
    assert teacher.asked == 2


def test_filling_asks_for_what_is_missing_and_shows_it(tmp_path, image, capsys):
    teacher = Teacher()
    cache = EmbeddingCache(tmp_path / "cache", teacher)
    cache(image, False)
    cache.fill([(image, False), (image, True)])
    assert teacher.asked == 2
    assert "teacher" in capsys.readouterr().err
    cache.fill([(image, False), (image, True)])
    assert (teacher.asked, capsys.readouterr().err) == (2, "")


def test_processes_share_the_filling(tmp_path, image, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        teacher = Teacher()
        EmbeddingCache(tmp_path / "cache", teacher).fill([(image, False), (image, True)])
        assert teacher.asked == 1


def test_values_beyond_half_precision_are_refused(tmp_path, image):
    with pytest.raises(InputError, match="beyond fp16"):
        EmbeddingCache(tmp_path / "cache", Teacher(factor=1e6))(image, False)
    assert not list((tmp_path / "cache").iterdir())


def test_the_teacher_embeds_as_predicting_does(tmp_path, monkeypatch):
    tiny_promptable.install(monkeypatch)
    path = tmp_path / "teacher.safetensors"
    tiny_promptable.write(path)
    image = tiny.image(61, 90)
    teacher = PromptableTeacher(path, device="cpu")
    scene = load(path, runtime="eager", precision="fp32", device="cpu").encode(image)
    np.testing.assert_array_equal(teacher(image), scene.embedding)
    other = tmp_path / "other.safetensors"
    tiny_promptable.write(other, seed=1)
    assert PromptableTeacher(other, device="cpu").identity != teacher.identity


def test_a_teacher_must_be_promptable():
    with pytest.raises(InputError, match="must be a promptable model, got seg-b0"):
        PromptableTeacher(tiny.safetensors(), device="cpu")
