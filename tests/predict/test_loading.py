"""Models by name or file."""

import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import densevit
from densevit.checkpoints.names import official_name
from densevit.checkpoints.state import save_own
from densevit.imaging import ImageError
from densevit.predict.loading import load
from densevit.variants import SEGMENTATION
from densevit.weights import ASSETS
from helpers import tiny


@pytest.fixture(scope="module")
def model():
    return load(tiny.graph(), threads=1)


def state_of(network) -> dict[str, torch.Tensor]:
    return {official_name(name, SEGMENTATION["seg-b0"]): value for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """A checkpoint as the authors publish them: 19 classes, their names, in a `state_dict` entry."""
    path = tmp_path_factory.mktemp("official") / "b0.pt"
    torch.save({"state_dict": state_of(tiny.network(classes=19))}, path)
    return path


def test_runtimes_agree_on_an_own_file(model, monkeypatch, tmp_path):
    ready = tiny.graph().read_bytes()
    monkeypatch.setenv("DENSEVIT_CACHE", str(tmp_path))
    monkeypatch.setattr("densevit.export.onnx.write", lambda program, manifest, path: path.write_bytes(ready))
    image = tiny.image(70, 100)
    expected = model.logits(image)
    for runtime in ("auto", "openvino", "eager"):
        other = load(str(tiny.safetensors()), runtime=runtime, device="cpu")
        assert other.runtime.name == ("eager" if runtime == "eager" else "openvino")
        assert other.manifest.name == "tiny"
        assert np.abs(other.logits(image) - expected).max() <= 5e-4 * max(1, np.abs(expected).max())
        assert (other.predict(image).labels == model.predict(image).labels).mean() > 0.999


@pytest.mark.parametrize(
    "name", ["seg-b0-cityscapes", "efficientvit-seg-b0-cityscapes", "efficientvit_seg_b0_cityscapes"]
)
def test_official_weights_by_name_and_alias(name, official):
    model = load(name, weights=official, runtime="eager", device="cpu", size="native")
    assert model.manifest.name == "seg-b0-cityscapes"
    assert model.manifest.weights_precision == "fp32"
    image = tiny.image(64, 96)
    x = (torch.from_numpy(image).double() / 255 - torch.tensor(model.manifest.mean)) / torch.tensor(
        model.manifest.std
    )
    with torch.inference_mode():
        expected = tiny.network(classes=19).double()(x.permute(2, 0, 1)[None])[0].numpy()
    assert np.abs(model.logits(image) - expected).max() <= 5e-4 * max(1, np.abs(expected).max())
    assert model.predict(image).class_names[0] == "road"


def test_official_weights_with_and_without_their_wrapping(official, tmp_path):
    bare = tmp_path / "bare.pth"
    torch.save(torch.load(official, weights_only=True)["state_dict"], bare)
    one, other = (
        load("seg-b0-cityscapes", weights=path, runtime="eager", device="cpu", size="native").logits(
            tiny.image(32, 32)
        )
        for path in (official, bare)
    )
    assert np.array_equal(one, other)


def test_own_weights_under_a_models_name():
    model = load("seg-b0-camvid", weights=tiny.safetensors(), runtime="eager", device="cpu")
    # what the file says of itself wins
    assert model.manifest.name == "tiny"


def test_the_working_size_is_the_models_own_unless_told(model):
    assert str(model.task.size) == "native"
    assert str(load(tiny.graph(), size="short:64").task.size) == "short:64"
    published = load(tiny.graph(), size="published", threads=1)
    assert str(published.task.size) == "exact:64x128"
    assert (published.task.align, published.task.resize) == ("bicubic", "cv2_cubic")
    image = tiny.image(40, 70)
    logits = published.logits(image)
    assert logits.shape == (11, 8, 16)
    expected = F.interpolate(torch.from_numpy(logits)[None], size=(40, 70), mode="bicubic")[0].argmax(0)
    assert np.array_equal(published.predict(image).labels, expected.numpy())


@pytest.mark.skipif(not tiny.has_bundled, reason=tiny.NO_BUNDLED)
@pytest.mark.parametrize("name", ["seg-b0-camvid", "efficientvit-seg-b0-camvid"])
def test_the_bundled_model(name):
    model = load(name)
    assert model.runtime.name == "openvino"
    assert model.manifest.name == "seg-b0-camvid"
    result = model.predict(ASSETS.parent.parent.parent / "examples" / "leuven_street.jpg")
    assert len(result.class_names) == 11
    assert {"road", "building"} <= result.fractions().keys()


@pytest.mark.skipif(not tiny.has_bundled, reason=tiny.NO_BUNDLED)
def test_bundled_graph_and_weights_are_the_same_model():
    image = tiny.image(100, 150)
    one, other = (
        load("seg-b0-camvid", runtime=name, device="cpu", precision="fp32") for name in ("openvino", "eager")
    )
    a, b = (model.logits(image) for model in (one, other))
    assert np.abs(a - b).max() <= 5e-4
    assert one.manifest.weights_sha256 == other.manifest.weights_sha256 != ""
    assert one.manifest.licence == "Apache-2.0"
    assert one.manifest.metrics["camvid/val/miou"] >= 65


@pytest.mark.parametrize("name", ["seg-b9", "resnet50", "", "seg-b0", "street.jpg", "SAM"])
def test_unknown_models_list_the_known(name):
    with pytest.raises(ValueError, match=r"unknown model '.*'; known: seg-b0-camvid, seg-b0-cityscapes"):
        load(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "tensorrt"}, r"runtime must be .*auto.*openvino.*eager.*got 'tensorrt'"),
        ({"precision": "int4"}, "got 'int4'"),
        ({"size": "big"}, "'big'"),
        ({"size": "short:0"}, "short:0"),
        ({"runtime": "openvino", "device": "cuda"}, "OpenVINO runtime works on the cpu, got device 'cuda'"),
        ({"weights": "other.pt"}, r"tiny\.onnx: an ONNX file has its weights inside"),
        ({"runtime": "eager"}, r"tiny\.onnx.*needs a weights file"),
        ({"device": "cuda"}, r"tiny\.onnx.*needs a weights file"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(tiny.graph(), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "'tpu'"),
        ({"device": "cuda:99"}, "'cuda:99' is not available here"),
        ({"weights": "x.pt"}, r"tiny\.safetensors: give a model's name together with weights"),
    ],
)
def test_options_that_do_not_go_with_a_weights_file(options, message):
    with pytest.raises(ValueError, match=message):
        load(tiny.safetensors(), **{"runtime": "eager"} | options)


def refusal(model, weights=None) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        load(model, weights=weights, runtime="eager", device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_of_another_variant_name_file_and_tensor(official):
    said = refusal("seg-b1-cityscapes", official)
    assert "b0.pt: these are not this model's weights" in said
    assert "backbone." in said


def test_weights_of_another_class_count_name_file_and_tensor(official):
    said = refusal("seg-b0-camvid", official)
    assert "b0.pt: these are not this model's weights" in said
    assert "(19, " in said
    assert "(11, " in said


def test_own_weights_of_another_variant_are_named():
    said = refusal("seg-b1-cityscapes", tiny.safetensors())
    assert said.startswith(f"{tiny.safetensors()}: holds seg-b0 with 11 classes (tiny), but seg-b1 with")


def test_own_weights_of_other_classes_are_named():
    # the same architecture, which must not answer under the name of another model
    said = refusal("seg-b0-cityscapes", tiny.safetensors())
    assert "seg-b0 with 11 classes (tiny), but seg-b0 with 19 classes (seg-b0-cityscapes) was asked for" in said
    with pytest.raises(ValueError, match="11 classes"):
        load("seg-b0-cityscapes", weights=tiny.graph())


def test_a_graph_of_another_architecture_is_named():
    with pytest.raises(ValueError, match=r"tiny\.onnx: holds seg-b0 with 11 .* seg-b1 with 19 .* was asked for"):
        load("seg-b1-cityscapes", weights=tiny.graph())
    assert load("seg-b0-camvid", weights=tiny.graph()).manifest.name == "tiny"


def test_missing_and_superfluous_tensors_are_named(tmp_path, official):
    state = torch.load(official, weights_only=True)["state_dict"]
    removed = next(iter(state))
    torch.save({name: value for name, value in state.items() if name != removed}, tmp_path / "short.pt")
    assert "is missing" in refusal("seg-b0-cityscapes", tmp_path / "short.pt")
    torch.save(state | {"odd.weight": torch.zeros(1)}, tmp_path / "long.pt")
    said = refusal("seg-b0-cityscapes", tmp_path / "long.pt")
    assert "odd.weight is unexpected" in said
    assert "long.pt" in said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.pt", None, "no such weights file"),
        ("gone.safetensors", None, "no such weights file"),
        ("empty.pt", b"", "not a readable checkpoint|refused"),
        ("empty.safetensors", b"", "not a readable safetensors file"),
        ("noise.pt", b"\x93noise" * 300, "not a readable checkpoint|refused"),
        ("noise.safetensors", b"\xff\xff\x00" * 300, "not a readable safetensors file"),
        ("model.h5", b"x", "its suffix must be one of .safetensors"),
        ("model", b"x", "its suffix must be one of .safetensors"),
    ],
)
def test_files_that_are_no_weights_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: .*({message})") as caught:
        load("seg-b0-cityscapes", weights=path, runtime="eager", device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_truncated_weights_are_named(tmp_path, official, suffix):
    whole = official if suffix == ".pt" else tiny.safetensors()
    path = tmp_path / f"half{suffix}"
    path.write_bytes(whole.read_bytes()[:20_000])
    assert f"half{suffix}: not a readable" in refusal("seg-b0-cityscapes", path)


@pytest.mark.parametrize("value", [{}, [torch.zeros(3)], {"a": 1}, torch.zeros(3)])
def test_checkpoints_without_a_table_of_tensors_are_named(tmp_path, value):
    torch.save(value, tmp_path / "odd.pt")
    assert refusal("seg-b0-cityscapes", tmp_path / "odd.pt").endswith("odd.pt: does not hold a table of tensors")


def test_foreign_tensors_tell_what_they_are(tmp_path, official):
    from safetensors.torch import save_file

    state = {
        key: value.contiguous() for key, value in torch.load(official, weights_only=True)["state_dict"].items()
    }
    save_file(state, tmp_path / "foreign.safetensors")
    for path in (official, tmp_path / "foreign.safetensors"):
        model = load(path, runtime="eager", device="cpu")
        assert model.manifest.name == "seg-b0-cityscapes"
        named = load("seg-b0-cityscapes", weights=path, runtime="eager", device="cpu")
        assert named.manifest == model.manifest


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, suffix, archive):
    path = tmp_path / f"evil{suffix}"
    trap = {"state_dict": {"a": torch.zeros(1), "b": Trap(tmp_path / "was run")}}
    if archive:
        torch.save(trap, path)
    else:
        path.write_bytes(pickle.dumps(trap, protocol=2))
    for name, weights in (("seg-b0-cityscapes", path), (path, None)):
        said = refusal(name, weights)
        assert f"evil{suffix}" in said
        if suffix != ".safetensors":
            assert "refused" in said
    assert not (tmp_path / "was run").exists()
    pickle.loads(pickle.dumps(Trap(tmp_path / "was run")))
    assert (tmp_path / "was run").exists()


def test_weights_that_are_nowhere_say_what_to_fetch(tmp_path):
    Image.fromarray(tiny.image(32, 64)).save(tmp_path / "x.png")
    run = tiny.run("segment", "x.png", "--model", "seg-b3-cityscapes", cwd=tmp_path)
    assert (run.returncode, run.stdout, len(run.stderr.splitlines())) == (1, "", 1)
    assert "huggingface.co/han-cai/efficientvit-seg/resolve/main/efficientvit_seg_b3_cityscapes.pt" in run.stderr
    assert "--weights FILE" in run.stderr


def test_a_file_of_the_hub_is_used(official, monkeypatch):
    asked = []

    def download(file):
        asked.append((file.repository, file.name))
        return official

    monkeypatch.setattr("densevit.weights.fetch", download)
    model = load("seg-b0-cityscapes", runtime="eager", device="cpu")
    assert model.manifest.name == "seg-b0-cityscapes"
    assert asked == [("han-cai/efficientvit-seg", "efficientvit_seg_b0_cityscapes.pt")]


@pytest.mark.parametrize("name", ["B0.ONNX", "b0.Onnx"])
def test_suffixes_of_onnx_files_in_any_case(tmp_path, name):
    shutil.copy(tiny.graph(), tmp_path / name)
    assert load(tmp_path / name, threads=1).manifest.name == "tiny"
    assert load("seg-b0-camvid", weights=tmp_path / name, threads=1).manifest.name == "tiny"


@pytest.mark.parametrize("name", ["x.SafeTensors", "X.SAFETENSORS"])
def test_suffixes_of_weights_in_any_case(tmp_path, name):
    shutil.copy(tiny.safetensors(), tmp_path / name)
    assert load(tmp_path / name, runtime="eager", device="cpu").manifest.name == "tiny"
    named = load("seg-b0-camvid", weights=tmp_path / name, runtime="eager", device="cpu")
    assert named.manifest.name == "tiny"


@pytest.mark.parametrize("name", ["B0.PT", "b0.Pth"])
def test_suffixes_of_checkpoints_in_any_case(tmp_path, official, name):
    shutil.copy(official, tmp_path / name)
    model = load("seg-b0-cityscapes", weights=tmp_path / name, runtime="eager", device="cpu")
    assert model.manifest.name == "seg-b0-cityscapes"


def test_public_names():
    assert densevit.load is load
    assert densevit.ImageError is ImageError
    assert issubclass(densevit.ImageError, densevit.InputError)
    for error in (densevit.UsageError, densevit.InputError, densevit.UnavailableError):
        assert issubclass(error, densevit.DensevitError)
    assert issubclass(densevit.DensevitError, ValueError)
    assert set(densevit.__all__) <= set(dir(densevit))
    for name in densevit.__all__:
        assert getattr(densevit, name) is not None
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = densevit.nothing
    net = densevit.create_model("seg-b1", classes=7)
    assert isinstance(net, torch.nn.Module)


def test_a_copied_own_file_with_other_values_is_another_model(tmp_path, monkeypatch):
    # weights are found by content, not by name or time
    path = tmp_path / "w.safetensors"
    shutil.copy(tiny.safetensors(), path)
    first = load(path, runtime="eager", device="cpu").logits(tiny.image(32, 32))
    save_own(tiny.network(seed=1), path, tiny.manifest())
    second = load(path, runtime="eager", device="cpu").logits(tiny.image(32, 32))
    assert np.abs(first - second).max() > 0.1
