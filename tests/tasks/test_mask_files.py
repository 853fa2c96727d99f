"""The folder of masks as images: what a later result replaces, and what it must never touch."""

import json

import numpy as np
import pytest
from PIL import Image

from densevit import masks
from densevit.core.errors import InputError
from densevit.imaging import Size
from densevit.tasks.mask_files import write_mask_images
from densevit.tasks.mask_result import Mask, MasksResult


def made(count: int) -> list[masks.RLE]:
    """Masks of 1, 2, 3 ... pixels."""
    runs = []
    for index in range(count):
        pixels = np.zeros((4, 5), np.bool_)
        pixels.ravel()[: index + 1] = True
        runs.append(masks.encode(pixels))
    return runs


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def listed(folder) -> list[str]:
    return json.loads((folder / "masks.json").read_text())["written_by_densevit"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "street.masks"


def test_an_image_per_mask_and_an_index(folder):
    written = write_mask_images(folder, made(3))
    assert [path.name for path in written] == ["0.png", "1.png", "2.png"]
    assert contents(folder).keys() == {"0.png", "1.png", "2.png", "masks.json"}
    assert listed(folder) == ["0.png", "1.png", "2.png"]
    for index, path in enumerate(written):
        with Image.open(path) as image:
            pixels = np.asarray(image)
        assert set(np.unique(pixels)) == {0, 255}
        assert (pixels > 0).sum() == index + 1


def test_a_users_files_stay(folder):
    write_mask_images(folder, made(12))
    # an earlier version removed every file that begins with a digit
    mine = {
        name: f"mine: {name}".encode() for name in ("100.png", "7_retouched.png", "2024-05-01.png", "notes.txt")
    }
    for name, text in mine.items():
        (folder / name).write_bytes(text)
    (folder / "9.png").mkdir()
    write_mask_images(folder, made(3))
    assert contents_of_files(folder, mine) == mine
    assert (folder / "9.png").is_dir()
    assert {path.name for path in folder.iterdir()} == {"0.png", "1.png", "2.png", "masks.json", "9.png", *mine}


def contents_of_files(folder, names) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize(("first", "second"), [(12, 3), (3, 12), (11, 0), (0, 2), (5, 5)])
def test_a_later_result_replaces_an_earlier_one(folder, first, second):
    write_mask_images(folder, made(first))
    written = write_mask_images(folder, made(second))
    assert {path.name for path in folder.iterdir()} == {path.name for path in written} | {"masks.json"}
    assert listed(folder) == [path.name for path in written]


def test_a_file_in_the_way_is_not_overwritten(folder):
    # by a user, or by a version that kept no index
    folder.mkdir()
    (folder / "1.png").write_bytes(b"mine")
    with pytest.raises(
        InputError, match=r"street\.masks/1\.png: already there.*move it, or write to another"
    ) as caught:
        write_mask_images(folder, made(3))
    assert "\n" not in str(caught.value)
    assert contents(folder) == {"1.png": b"mine"}
    # both remedies help
    assert len(write_mask_images(folder.with_name("other"), made(3))) == 3
    (folder / "1.png").rename(folder / "mine.png")
    assert len(write_mask_images(folder, made(3))) == 3
    assert (folder / "mine.png").read_bytes() == b"mine"


def test_a_link_in_the_way_is_not_followed(folder, tmp_path):
    folder.mkdir()
    (folder / "0.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match=r"0\.png: already there"):
        write_mask_images(folder, made(1))
    assert not (tmp_path / "nowhere.png").exists()


@pytest.mark.parametrize(
    "entry",
    ["../precious.png", "/etc/hostname", "sub/3.png", "..", ".", "", "masks.json", "x.png", "3.PNG", 3, None],
)
def test_an_index_that_was_tampered_with_is_not_followed(folder, tmp_path, entry):
    write_mask_images(folder, made(2))
    (tmp_path / "precious.png").write_bytes(b"mine")
    (folder / "sub").mkdir()
    (folder / "sub" / "3.png").write_bytes(b"mine")
    (folder / "x.png").write_bytes(b"mine")
    (folder / "masks.json").write_text(json.dumps({"written_by_densevit": ["0.png", "1.png", entry]}))
    write_mask_images(folder, made(1))
    for path in (tmp_path / "precious.png", folder / "sub" / "3.png", folder / "x.png"):
        assert path.read_bytes() == b"mine"
    assert not (folder / "1.png").exists()
    assert listed(folder) == ["0.png"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '"masks"', "{}", '{"written_by_densevit": 3}', "[" * 100_000, '{"boxes": [1]}', "\xff"],
)
def test_another_file_in_place_of_the_index_stays(folder, text):
    folder.mkdir()
    (folder / "masks.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"masks\.json: not an index that densevit wrote; move it") as caught:
        write_mask_images(folder, made(2))
    assert "\n" not in str(caught.value)
    assert contents(folder) == {"masks.json": text.encode("latin-1")}
    (folder / "masks.json").rename(folder / "mine.json")
    assert len(write_mask_images(folder, made(2))) == 2


def test_what_an_interrupted_run_wrote_is_replaced(folder, monkeypatch):
    write_mask_images(folder, made(2))

    # the disk is full at the fifth image
    real = masks.RLE.decode

    def decode(rle):
        if rle.area == 5:
            raise OSError("no space left")
        return real(rle)

    with monkeypatch.context() as patch:
        patch.setattr(masks.RLE, "decode", decode)
        with pytest.raises(OSError, match="no space"):
            write_mask_images(folder, made(11))
    assert contents(folder).keys() == {"0.png", "1.png", "00.png", "01.png", "02.png", "03.png", "masks.json"}
    write_mask_images(folder, made(1))
    assert contents(folder).keys() == {"0.png", "masks.json"}


def test_a_result_saves_by_it_and_names_the_images(tmp_path):
    result = MasksResult(tuple(Mask(rle, 0.9) for rle in made(2)), Size(4, 5))
    assert result.save(tmp_path / "a", formats=["png"]) == [
        tmp_path / "a.masks" / f"{index}.png" for index in (0, 1)
    ]
    (tmp_path / "a.masks" / "5.png").write_bytes(b"mine")
    result.save(tmp_path / "a", formats=["png", "json", "rle"])
    assert (tmp_path / "a.masks" / "5.png").read_bytes() == b"mine"
