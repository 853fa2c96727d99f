"""`densevit segment`: what it writes and says, and that nothing a user gives it ends in a traceback."""

import json
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import densevit as package
from helpers import tiny

FORMATS = "overlay,labels,color,json"
SUFFIXES = ("overlay.jpg", "labels.png", "color.png", "segmentation.json")


@pytest.fixture
def segment(densevit):
    """`densevit segment ...` with the small model."""

    def run(*arguments: object):
        return densevit("segment", "--model", tiny.graph(), *arguments)

    return run


def street(path: Path, height: int = 40, width: int = 60, seed: int = 0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tiny.image(height, width, seed=seed)).save(path, **options)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# --- what it does


def test_one_image(segment, tmp_path, written):
    street(tmp_path / "in" / "street.png")
    done = segment("in/street.png")
    assert (done.code, done.err) == (0, "")
    assert written(tmp_path / "out") == {"street.overlay.jpg"}
    assert read(tmp_path / "out" / "street.overlay.jpg").shape == (40, 60, 3)
    (line,) = done.out.splitlines()
    assert "street.overlay.jpg" in line
    assert "%" in line


def test_every_format_and_what_is_in_it(segment, tmp_path, written):
    image = tiny.image(40, 60)
    street(tmp_path / "street.png")
    done = segment("street.png", "--out", "made/here", "--format", FORMATS)
    assert done.code == 0
    assert written(tmp_path / "made" / "here") == {f"street.{suffix}" for suffix in SUFFIXES}
    expected = tiny.model().predict(image)
    out = tmp_path / "made" / "here"
    assert np.array_equal(read(out / "street.labels.png"), expected.labels)
    assert np.array_equal(read(out / "street.color.png"), expected.color())
    said = json.loads((out / "street.segmentation.json").read_text())
    assert said == expected.to_json()


def test_json_is_all_there_is_on_stdout(segment, tmp_path):
    street(tmp_path / "in" / "a.png")
    street(tmp_path / "in" / "b.png", 33, 35, seed=1)
    (tmp_path / "in" / "c.png").touch()
    done = segment("in", "--json", "--format", "labels,json", "--precision", "fp32")
    report = json.loads(done.out)
    assert done.code == 1
    assert len(done.errors) == 1
    assert report["model"] == "tiny"
    assert (report["runtime"], report["precision"], report["device"]) == ("openvino", "fp32", "cpu")
    assert report["failed"] == 1
    assert report["seconds"] >= 0
    a, b, c = report["images"]
    assert Path(a["source"]).name == "a.png"
    assert (a["height"], a["width"], b["height"], b["width"]) == (40, 60, 33, 35)
    assert sum(a["fractions"].values()) == pytest.approx(1, abs=1e-4)
    assert [Path(path).name for path in a["written"]] == ["a.labels.png", "a.segmentation.json"]
    assert all(Path(path).is_file() for path in a["written"])
    assert "c.png" in c["error"]


def test_folders_keep_their_sub_folders(segment, tmp_path, written):
    for name in ("a/x.jpg", "b/x.jpg", "b/deep/y.png"):
        street(tmp_path / "in" / name)
    assert segment("in").code == 0
    assert written(tmp_path / "out") == {"a/x.overlay.jpg", "b/x.overlay.jpg", "b/deep/y.overlay.jpg"}


def test_patterns_duplicates_and_equal_stems(segment, tmp_path, written):
    for name in ("x.jpg", "x.png", "y.png"):
        street(tmp_path / "in" / name)
    done = segment("in/*.png", "in/x.jpg", "in/x.png", "in/../in/x.png", "--json")
    assert done.code == 0
    assert len(json.loads(done.out)["images"]) == 3
    assert len(written(tmp_path / "out")) == 3


def test_results_are_replaced(segment, tmp_path):
    street(tmp_path / "x.png", seed=1)
    assert segment("x.png", "-f", "labels").code == 0
    before = read(tmp_path / "out" / "x.labels.png")
    street(tmp_path / "x.png", seed=2)
    assert segment("x.png", "-f", "labels").code == 0
    assert not np.array_equal(read(tmp_path / "out" / "x.labels.png"), before)


def test_the_working_size_is_an_option(segment, tmp_path):
    street(tmp_path / "x.png")
    assert segment("x.png", "-f", "labels", "--size", "published").code == 0
    expected = package.load(tiny.graph(), size="published", threads=1).predict(tmp_path / "x.png")
    assert np.array_equal(read(tmp_path / "out" / "x.labels.png"), expected.labels)


def test_eager_gives_the_same(densevit, tmp_path):
    street(tmp_path / "x.png")
    done = densevit(
        *("segment", "x.png", "--model", tiny.safetensors(), "--runtime", "eager"),
        *("--device", "cpu", "--json", "-f", "labels"),
    )
    assert done.code == 0
    report = json.loads(done.out)
    assert (report["runtime"], report["precision"], report["device"]) == ("eager", "fp32", "cpu")
    expected = tiny.model().predict(tmp_path / "x.png").labels
    assert (read(tmp_path / "out" / "x.labels.png") == expected).mean() > 0.999


# --- any image


def encoded_16_bit(path: Path) -> None:
    Image.fromarray(tiny.image(40, 60)[..., 0].astype(np.uint16) * 257).save(path)


def encoded_palette(path: Path) -> None:
    Image.fromarray(tiny.image(40, 60)).quantize(32).save(path)


def encoded_cmyk(path: Path) -> None:
    Image.fromarray(tiny.image(40, 60)).convert("CMYK").save(path, format="JPEG")


def encoded_alpha(path: Path) -> None:
    rgba = np.dstack([tiny.image(40, 60), tiny.image(40, 60, seed=5)[..., 0]])
    Image.fromarray(rgba).save(path)


def encoded_rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(tiny.image(60, 40)).save(path, exif=exif)


def encoded_gray(path: Path) -> None:
    Image.fromarray(tiny.image(40, 60)[..., 0].copy()).save(path)


def encoded_bits(path: Path) -> None:
    Image.fromarray(tiny.image(40, 60)[..., 0] > 120).save(path)


@pytest.mark.parametrize(
    "encode",
    [
        encoded_16_bit,
        encoded_palette,
        encoded_cmyk,
        encoded_alpha,
        encoded_rotated,
        encoded_gray,
        encoded_bits,
    ],
    ids=lambda encode: encode.__name__.removeprefix("encoded_"),
)
def test_unusual_images_are_done(segment, tmp_path, encode):
    path = tmp_path / ("x.jpg" if encode in (encoded_cmyk, encoded_rotated) else "x.png")
    encode(path)
    done = segment(path, "-f", "labels")
    assert (done.code, done.err) == (0, "")
    assert read(tmp_path / "out" / "x.labels.png").shape == (40, 60)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (70, 1)])
def test_tiny_images_are_done(segment, tmp_path, size):
    street(tmp_path / "x.png", *size)
    done = segment("x.png", "-f", FORMATS)
    assert (done.code, done.err) == (0, "")
    assert read(tmp_path / "out" / "x.labels.png").shape == size


# --- bad images


def bomb(path: Path, side: int = 200_000) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    path.write_bytes(start + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b""))


def bad_image(path: Path, kind: str) -> Path:
    whole = street(path.with_name("whole" + path.suffix)).read_bytes()
    path.with_name("whole" + path.suffix).unlink()
    match kind:
        case "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        case "zero bytes":
            path.touch()
        case "bomb":
            bomb(path)
        case "text":
            path.write_text("not\na image\n")
        case "folder":
            path.mkdir()
        case "noise":
            path.write_bytes(whole[:20] + np.random.default_rng(0).bytes(3000))
        case "missing":
            pass
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bad.png", "truncated"),
        ("bad.jpg", "truncated"),
        ("bad.tif", "truncated"),
        ("bad.webp", "truncated"),
        ("bad.bmp", "truncated"),
        ("bad.gif", "truncated"),
        ("bad.png", "noise"),
        ("bad.jpg", "noise"),
        ("bad.png", "zero bytes"),
        ("bad.png", "bomb"),
        ("bad.png", "text"),
        ("bad.png", "missing"),
        ("bad.png", "folder"),
    ],
)
def test_a_bad_image_is_one_line_and_the_others_are_done(segment, tmp_path, written, name, kind):
    street(tmp_path / "first.png")
    bad = bad_image(tmp_path / name, kind)
    street(tmp_path / "last.png", 50, 33)
    done = segment("first.png", bad, "last.png")
    assert done.code == 1
    (line,) = done.errors
    assert name in line
    assert written(tmp_path / "out") == {"first.overlay.jpg", "last.overlay.jpg"}
    assert len(done.out.splitlines()) == 2


def test_bad_images_in_a_process_of_its_own(tmp_path, written):
    # what decoders print by themselves would be seen here
    street(tmp_path / "in" / "good.png")
    for kind in ("truncated", "noise"):
        for suffix in ("jpg", "png", "tif", "webp"):
            bad_image(tmp_path / "in" / f"{kind}.{suffix}", kind)
    bomb(tmp_path / "in" / "bomb.png")
    done = tiny.run("segment", "in", "--model", tiny.graph(), "--json", cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines), done.stderr
    report = json.loads(done.stdout)
    assert len(report["images"]) == 10
    assert len(lines) == report["failed"]
    assert report["failed"] == 9
    assert "good.overlay.jpg" in written(tmp_path / "out")


def test_max_pixels(segment, tmp_path, written):
    street(tmp_path / "small.png", 20, 20)
    street(tmp_path / "large.png", 30, 30)
    done = segment("small.png", "large.png", "--max-pixels", 400)
    assert done.code == 1
    (line,) = done.errors
    assert "large.png: too large" in line
    assert written(tmp_path / "out") == {"small.overlay.jpg"}
    assert segment("small.png", "--max-pixels", 0).code == 2


def test_a_folder_without_images(segment, tmp_path, written):
    (tmp_path / "empty").mkdir()
    done = segment("empty")
    assert done.code == 1
    (line,) = done.errors
    assert line.startswith("error: empty: no image in this folder")
    street(tmp_path / "x.png")
    done = segment("empty", "x.png", "no*thing.png")
    assert done.code == 1
    assert len(done.errors) == 2
    assert len(written(tmp_path / "out")) == 1


def test_only_missing_files(segment):
    done = segment("gone.png", "gone too.png")
    assert done.code == 1
    assert [line.partition(": no such file")[0][-10:] for line in done.errors] == [
        "n/gone.png"[-10:],
        "e too.png"[-10:],
    ] or ("gone.png" in done.errors[0] and "gone too.png" in done.errors[1])


def test_results_that_cannot_be_written(segment, tmp_path):
    street(tmp_path / "x.png")
    (tmp_path / "out").write_text("a file is in the way")
    done = segment("x.png")
    assert done.code == 1
    (line,) = done.errors
    assert "x.png" in line
    assert "out" in line


# --- bad options and models


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--format", "gif"],
            "--format must be some of overlay, labels, color, json, separated by commas, got 'gif'",
        ),
        (["--format", ","], "--format must be some of .*got ','"),
        (["--runtime", "tensorrt"], "'tensorrt'"),
        (["--precision", "int4"], "'int4'"),
        (["--device", "tpu"], "'tpu'"),
        (["--size", "huge"], "'huge'"),
        (["--size", "short:99999"], "short:99999"),
        (["--weights", "x.pt"], "leave weights out"),
    ],
)
def test_unknown_values_are_one_line(segment, tmp_path, arguments, message):
    import re

    street(tmp_path / "x.png")
    done = segment("x.png", *arguments)
    assert done.code == 2
    (line,) = done.errors
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("arguments"), [["--color"], [], ["x.png", "--max-pixels", "many"]])
def test_wrong_use_is_explained(densevit, arguments):
    done = densevit("segment", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err


def test_unknown_models_list_the_known(densevit, tmp_path):
    street(tmp_path / "x.png")
    done = densevit("segment", "x.png", "--model", "seg-b9-mars")
    assert done.code == 2
    (line,) = done.errors
    assert "unknown model 'seg-b9-mars'; known: seg-b0-camvid, seg-b0-cityscapes" in line


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "noise", "folder"])
def test_graph_files_that_are_none(densevit, tmp_path, kind):
    street(tmp_path / "x.png")
    path = tmp_path / "model.onnx"
    content = tiny.graph().read_bytes()
    match kind:
        case "empty":
            path.touch()
        case "truncated":
            path.write_bytes(content[: len(content) // 3])
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(4000))
        case "folder":
            path.mkdir()
    done = densevit("segment", "x.png", "--model", path)
    assert done.code in (1, 2)
    (line,) = done.errors
    assert str(path) in line


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code(densevit, tmp_path):
    street(tmp_path / "x.png")
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"a": Trap(tmp_path / "was run")}, protocol=2))
    torch.save({"a": torch.zeros(1), "b": Trap(tmp_path / "was run")}, tmp_path / "new.pt")
    for name in ("old.pt", "new.pt"):
        done = densevit("segment", "x.png", "--model", "seg-b0-cityscapes", "--weights", name)
        assert done.code in (1, 2)
        (line,) = done.errors
        assert f"{name}: refused" in line
        assert "safetensors" in line
    assert not (tmp_path / "was run").exists()


def test_wrong_weights(densevit, tmp_path):
    street(tmp_path / "x.png")
    torch.save({"backbone.input_stem.op_list.0.conv.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "few.pt")
    (tmp_path / "noise.safetensors").write_bytes(b"\xff" * 400)
    cases = {
        "few.pt": "these are not this model's weights",
        "noise.safetensors": "not a readable safetensors file",
        "gone.pt": "",
        "gone.safetensors": "",
        "x.png": "its suffix must be one of",
        tiny.safetensors(): "holds seg-b0 with 11 classes (tiny), but seg-b1 with 19",
    }
    for name, message in cases.items():
        done = densevit("segment", "x.png", "--model", "seg-b1-cityscapes", "--weights", name)
        assert done.code in (1, 2)
        (line,) = done.errors
        assert str(name) in line
        assert message in line
    assert not (tmp_path / "out").exists()


def test_a_process_of_its_own_ends_with_the_code_and_one_line(tmp_path):
    street(tmp_path / "x.png")
    done = tiny.run("segment", "x.png", "--model", "mars", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: unknown model 'mars'")


@pytest.mark.skipif(not tiny.has_bundled, reason=tiny.NO_BUNDLED)
def test_the_bundled_model_is_the_default(densevit, tmp_path):
    street(tmp_path / "x.png")
    done = densevit("segment", "x.png", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["model"] == "seg-b0-camvid"
