"""Embeddings are made once, found by what decides on them, and made again where a file is damaged."""

import numpy as np
import pytest

from densevit import imaging
from densevit.predict.loading import load
from densevit.train.embeddings import EmbeddingCache, PromptableTeacher
from densevit.variants.segment_anything import EMBEDDING_SHAPE
from helpers import tiny, tiny_promptable


class Teacher:
    """Answers with the picture's own first values, and counts."""

    def __init__(self, identity="first", factor=1.0):
        self.identity = identity
        self.factor = factor
        self.asked = 0

    def __call__(self, picture):
        self.asked += 1
        values = np.resize(picture[:8, :8].astype(np.float32) / 255, EMBEDDING_SHAPE)
        return values * self.factor


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    imaging.save(tiny.picture(20, 30), path)
    return path


def test_made_once_and_read_as_written(tmp_path, picture):
    teacher = Teacher()
    first = EmbeddingCache(tmp_path / "cache", teacher)(picture, False)
    again = EmbeddingCache(tmp_path / "cache", teacher)(picture, False)
    assert teacher.asked == 1
    assert first.dtype == again.dtype == np.float16
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, teacher(imaging.read(picture)).astype(np.float16))
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".safetensors"]


def test_mirrored_pictures_other_contents_and_other_teachers_have_entries_of_their_own(tmp_path, picture):
    teacher = Teacher()
    cache = EmbeddingCache(tmp_path / "cache", teacher)
    mirrored = cache(picture, True)
    np.testing.assert_array_equal(mirrored, teacher(imaging.read(picture)[:, ::-1]).astype(np.float16))
    assert not np.array_equal(cache(picture, False), mirrored)
    imaging.save(tiny.picture(20, 30, seed=1), picture)
    assert not np.array_equal(cache(picture, True), mirrored)
    other = Teacher("second", factor=2.0)
    np.testing.assert_allclose(
        EmbeddingCache(tmp_path / "cache", other)(picture, True), 2 * cache(picture, True), rtol=1e-3
    )
    assert len(list((tmp_path / "cache").iterdir())) == 4


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: data[:-1] + b"\x07", lambda data: b""])
def test_a_damaged_file_is_made_again(tmp_path, picture, damage):
    teacher = Teacher()
    cache = EmbeddingCache(tmp_path / "cache", teacher)
    first = cache(picture, False)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(cache(picture, False), first)
    np.testing.assert_array_equal(cache(picture, False), first)
    assert teacher.asked == 2


def test_filling_asks_for_what_is_missing_and_shows_it(tmp_path, picture, capsys):
    teacher = Teacher()
    cache = EmbeddingCache(tmp_path / "cache", teacher)
    cache(picture, False)
    cache.fill([(picture, False), (picture, True)])
    assert teacher.asked == 2
    assert "teacher" in capsys.readouterr().err
    cache.fill([(picture, False), (picture, True)])
    assert (teacher.asked, capsys.readouterr().err) == (2, "")


def test_processes_share_the_filling(tmp_path, picture, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        teacher = Teacher()
        EmbeddingCache(tmp_path / "cache", teacher).fill([(picture, False), (picture, True)])
        assert teacher.asked == 1


def test_values_beyond_half_precision_are_refused(tmp_path, picture):
    with pytest.raises(ValueError, match="beyond fp16"):
        EmbeddingCache(tmp_path / "cache", Teacher(factor=1e6))(picture, False)
    assert not list((tmp_path / "cache").iterdir())


def test_the_teacher_embeds_as_predicting_does(tmp_path, monkeypatch):
    tiny_promptable.install(monkeypatch)
    path = tmp_path / "teacher.safetensors"
    tiny_promptable.write(path)
    picture = tiny.picture(61, 90)
    teacher = PromptableTeacher(path, device="cpu")
    scene = load(path, runtime="eager", precision="fp32", device="cpu").encode(picture)
    np.testing.assert_array_equal(teacher(picture), scene.embedding)
    other = tmp_path / "other.safetensors"
    tiny_promptable.write(other, seed=1)
    assert PromptableTeacher(other, device="cpu").identity != teacher.identity


def test_a_teacher_must_be_promptable():
    with pytest.raises(ValueError, match="must be a promptable model, got seg-b0"):
        PromptableTeacher(tiny.safetensors(), device="cpu")
