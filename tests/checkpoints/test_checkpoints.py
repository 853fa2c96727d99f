"""Foreign and own weights: names, strict loading, files that must be refused."""

import dataclasses
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from densevit.checkpoints.loading import load_network, read_weights
from densevit.checkpoints.names import detect_convention, official_name, to_own_names
from densevit.checkpoints.state import WeightsMismatchError, load_state, own_tensors, read_pickled, save_own
from densevit.core.manifest import METADATA_KEY, Manifest
from densevit.models.build import DenseModel, build, create_model
from densevit.variants import ARCHITECTURES, SEGMENTATION, SUPER_RESOLUTION
from densevit.weights import WeightsError, hash_tensors, read_tensors
from helpers import reference

TABLE = SEGMENTATION["seg-b0"]
MANIFEST = Manifest("seg-b0-test", "segmentation", "seg-b0", class_names=("sky", "road", "car"))

# super-resolution was never released, one encoder is this project's, and another's names are in test_tiny_vit
PUBLISHED = [name for name in ARCHITECTURES if name not in {*SUPER_RESOLUTION, "sam-b1", "mobile-sam"}]


def named_shapes(name: str) -> dict[str, list[int]]:
    table = ARCHITECTURES[name]
    with torch.device("meta"):
        model = build(table)
    return {official_name(key, table): list(tensor.shape) for key, tensor in model.state_dict().items()}


def random_model(classes: int | None = None) -> DenseModel:
    torch.manual_seed(0)
    model = create_model("seg-b0", classes=classes)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias)
            layer.num_batches_tracked.fill_(3)
    return model.eval()


def official_state(seed: int = 0) -> dict[str, torch.Tensor]:
    state, _ = reference.invent(
        reference.ROWS["seg-b0"], torch.zeros(1, 3, 32, 32, dtype=torch.float64), seed=seed
    )
    return state


@pytest.mark.needs_shared
def test_every_published_checkpoint_has_an_architecture(official_shapes):
    assert len(official_shapes) == 23
    assert set(official_shapes) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.needs_shared
def test_names_and_shapes_are_the_official_ones(name, official_shapes):
    assert named_shapes(name) == official_shapes[name]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.needs_shared
def test_official_tensors_of_every_checkpoint_get_our_names(name, official_shapes):
    # the other way: from the official keys to ours
    with torch.device("meta"):
        own = {key: tuple(tensor.shape) for key, tensor in build(ARCHITECTURES[name]).state_dict().items()}
        official = {key: torch.empty(shape) for key, shape in official_shapes[name].items()}
    renamed = to_own_names(official, own, ARCHITECTURES[name])
    assert {key: tuple(tensor.shape) for key, tensor in renamed.items()} == own


@pytest.mark.parametrize("name", SEGMENTATION)
def test_names_and_shapes_are_the_references(name):
    ours = named_shapes(name)
    assert ours == reference.shapes(reference.ROWS[name])
    # no two tensors share a name
    with torch.device("meta"):
        assert len(ours) == len(build(SEGMENTATION[name]).state_dict())


def test_official_tensors_arrive_one_to_one():
    state = official_state()
    model = create_model("seg-b0")
    own = to_own_names(state, model.state_dict(), TABLE)
    assert own.keys() == model.state_dict().keys()
    load_state(model, own, source="x.pt")
    for name, tensor in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, state[official_name(name, TABLE)]), name


def test_official_or_own_by_the_keys():
    assert detect_convention(official_state()) == "official"
    assert detect_convention(create_model("seg-b0").state_dict()) == "own"
    assert detect_convention({}) == "own"


def test_counters_of_batches_do_not_matter():
    state = {k: v for k, v in official_state().items() if not k.endswith("num_batches_tracked")}
    model = create_model("seg-b0")
    load_state(model, to_own_names(state, model.state_dict(), TABLE), source="x.pt")


class TestMismatch:
    """Every difference is refused, by name of tensor and file, and the model keeps what it had."""

    def refused(self, state: dict[str, torch.Tensor], model: DenseModel | None = None) -> str:
        model = create_model("seg-b0") if model is None else model
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(WeightsMismatchError) as error:
            load_state(model, to_own_names(state, model.state_dict(), TABLE), source="folder/x.pt")
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert "folder/x.pt" in str(error.value)
        return str(error.value)

    def test_missing(self):
        state = official_state()
        del state["head.input_ops.2.norm.running_var"]
        message = self.refused(state)
        assert "head.fusion.laterals.2.norm.running_var is missing" in message
        assert "more" not in message

    def test_extra(self):
        state = official_state() | {"head.op_list.3.linear.weight": torch.zeros(2, 2)}
        assert "head.op_list.3.linear.weight is unexpected" in self.refused(state)

    def test_shape(self):
        state = official_state()
        state["backbone.stages.2.op_list.1.context_module.main.qkv.conv.weight"] = torch.zeros(3, 64, 1, 1)
        message = self.refused(state)
        assert "backbone.stages.3.1.context.qkv.conv.weight is (3, 64, 1, 1)" in message
        assert "(192, 64, 1, 1)" in message

    def test_class_count(self):
        message = self.refused(official_state(), create_model("seg-b0", classes=11))
        assert "(19, 128, 1, 1)" in message
        assert "(11, 128, 1, 1)" in message

    def test_wrong_variant(self):
        state, _ = reference.invent(reference.ROWS["seg-b1"], torch.zeros(1, 3, 32, 32, dtype=torch.float64))
        assert "more" in self.refused(state)

    def test_another_family(self):
        with torch.device("meta"):
            model = create_model("seg-l1")
        state = official_state()
        with pytest.raises(WeightsMismatchError, match=r"y\.pt"):
            load_state(model, to_own_names(state, model.state_dict(), SEGMENTATION["seg-l1"]), source="y.pt")

    def test_nothing_at_all(self):
        assert "missing" in self.refused({})


class Harmful:
    """Unpickled carelessly, this makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)  # an `os.system` whose traces are easy to see


class TestReadPickled:
    """Files of tensors are read, and nothing else; no file runs code."""

    def refused(self, path: Path) -> str:
        with pytest.raises(WeightsError) as error:
            read_pickled(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        return str(error.value)

    @pytest.mark.parametrize("zipped", [True, False])
    @pytest.mark.parametrize("nested", [True, False])
    def test_tables_of_tensors(self, tmp_path, zipped, nested):
        state = OrderedDict(a=torch.arange(6.0).view(2, 3), b=torch.tensor(3))
        path = tmp_path / "x.pt"
        saved = {"state_dict": state, "epoch": 3, "best": 0.5} if nested else state
        torch.save(saved, path, _use_new_zipfile_serialization=zipped)
        got = read_pickled(path)
        assert got.keys() == state.keys()
        assert all(torch.equal(got[key], state[key]) for key in state)

    def test_parameters_are_tensors_too(self, tmp_path):
        torch.save({"a": torch.nn.Parameter(torch.ones(2))}, tmp_path / "x.pth")
        assert torch.equal(read_pickled(tmp_path / "x.pth")["a"], torch.ones(2))

    @pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
    @pytest.mark.parametrize("nested", [True, False])
    def test_code_is_never_run(self, tmp_path, container, nested):
        marker = tmp_path / "marker"
        path = tmp_path / "x.pt"
        state = {"a": torch.ones(2), "b": Harmful(marker)}
        saved = {"state_dict": state} if nested else state
        if container == "pickle":
            path.write_bytes(pickle.dumps(saved, protocol=2))
        else:
            torch.save(saved, path, _use_new_zipfile_serialization=container == "zip")
        assert "refused" in self.refused(path)
        assert not marker.exists()

    def test_the_harmful_file_would_do_harm(self, tmp_path):
        marker = tmp_path / "marker"
        pickle.loads(pickle.dumps(Harmful(marker)))
        assert marker.exists()

    def test_objects_are_refused(self, tmp_path):
        torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
        assert "safetensors" in self.refused(tmp_path / "x.pt")

    def test_missing(self, tmp_path):
        assert "no such" in self.refused(tmp_path / "none.pt")
        self.refused(tmp_path)

    def test_truncated(self, tmp_path):
        buffer = io.BytesIO()
        torch.save({"a": torch.arange(1000.0)}, buffer)
        whole = buffer.getvalue()
        path = tmp_path / "x.pt"
        for length in (0, 1, 3, 60, len(whole) // 2, len(whole) - 30, len(whole) - 1):
            path.write_bytes(whole[:length])
            self.refused(path)

    @pytest.mark.parametrize("content", [b"hello\n" * 40, bytes(100), b"PK\x03\x04" + bytes(100), b"\x80\x02."])
    def test_no_checkpoint_at_all(self, tmp_path, content):
        path = tmp_path / "x.pt"
        path.write_bytes(content)
        self.refused(path)

    def test_an_archive_that_grows(self, tmp_path):
        path = tmp_path / "x.pt"
        torch.save({"a": torch.zeros(2_000_000)}, tmp_path / "plain.pt")
        with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(path, "w") as packed:
            for entry in plain.namelist():
                packed.writestr(entry, plain.read(entry), compress_type=zipfile.ZIP_DEFLATED)
        assert "unpack" in self.refused(path)
        assert read_pickled(tmp_path / "plain.pt")["a"].shape == (2_000_000,)

    def test_tensors_that_are_not_plain(self, tmp_path):
        torch.save({"a": torch.zeros(3, device="meta")}, tmp_path / "x.pt")
        assert "a is not a plain tensor" in self.refused(tmp_path / "x.pt")

    def test_another_zip(self, tmp_path):
        path = tmp_path / "x.pt"
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("readme.txt", "hello")
        self.refused(path)

    def test_random_bytes(self, tmp_path):
        generator = np.random.default_rng(0)
        path = tmp_path / "x.pt"
        for length in generator.integers(1, 2000, 20):
            path.write_bytes(generator.bytes(length))
            self.refused(path)

    @pytest.mark.parametrize(
        "content",
        [
            [torch.ones(2)],
            {},
            torch.ones(2),
            3,
            None,
            {"a": torch.ones(2), "epoch": 3},
            {"state_dict": {}},
            {"state_dict": {"a": [torch.ones(2)]}},
        ],
        ids=str,
    )
    def test_no_table_of_tensors(self, tmp_path, content):
        torch.save(content, tmp_path / "x.pt")
        assert "table of tensors" in self.refused(tmp_path / "x.pt")


class TestOwnFiles:
    """What is saved is what is read again, in the precision that the manifest tells."""

    def test_tensors(self, tmp_path):
        model = random_model(3)
        save_own(model, tmp_path / "x.safetensors", MANIFEST)
        tensors, metadata = read_tensors(tmp_path / "x.safetensors")
        state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
        assert tensors.keys() == state.keys()
        for name, tensor in tensors.items():
            assert tensor.dtype == (np.float16 if tensor.ndim > 1 else np.float32), name
            expected = state[name].half() if tensor.ndim > 1 else state[name]
            np.testing.assert_array_equal(tensor, expected.numpy(), err_msg=name)
        manifest = Manifest.from_json(metadata[METADATA_KEY], source="x")
        assert manifest.weights_precision == "fp16"
        assert manifest.weights_sha256 == hash_tensors(tensors) == hash_tensors(own_tensors(model))
        as_given = {"weights_precision": "fp32", "weights_sha256": ""}
        assert dataclasses.replace(manifest, **as_given) == MANIFEST

    def test_round_trip(self, tmp_path):
        model = random_model(3)
        save_own(model, tmp_path / "x.safetensors", MANIFEST)
        loaded, manifest = load_network(tmp_path / "x.safetensors", None)
        assert manifest.class_names == MANIFEST.class_names
        assert manifest.weights_precision == "fp16"
        assert not loaded.training
        x = torch.randn(1, 3, 64, 64)
        with torch.inference_mode():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.copy_(parameter.half())
            assert torch.equal(loaded(x), model(x))
        assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())

    def test_tensors_that_are_not_those_of_the_header(self, tmp_path):
        path = tmp_path / "x.safetensors"
        save_own(random_model(3), path, MANIFEST)
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"x\.safetensors.*SHA-256"):
            load_network(path, None)

    def test_saving_leaves_the_model_alone(self, tmp_path):
        model = random_model(3)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        save_own(model, tmp_path / "x.safetensors", MANIFEST)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    def test_half_and_double_models_are_saved_alike(self):
        model = random_model(3)
        hashed = hash_tensors(own_tensors(model))
        assert hash_tensors(own_tensors(model.double())) == hashed
        assert hash_tensors(own_tensors(model.to(memory_format=torch.channels_last).float())) == hashed

    def test_another_architecture_is_refused(self, tmp_path):
        save_own(random_model(3), tmp_path / "x.safetensors", MANIFEST)
        other = dataclasses.replace(MANIFEST, architecture="seg-b1")
        with pytest.raises(WeightsError, match=r"x\.safetensors.*seg-b0.*seg-b1"):
            load_network(tmp_path / "x.safetensors", other)

    def test_the_header_must_fit_the_tensors(self, tmp_path):
        lying = dataclasses.replace(MANIFEST, architecture="seg-b1")
        save_own(random_model(3), tmp_path / "x.safetensors", lying)
        with pytest.raises(WeightsMismatchError, match=r"x\.safetensors"):
            load_network(tmp_path / "x.safetensors", None)


class TestForeignFiles:
    """`load_network` on official checkpoints."""

    manifest = dataclasses.replace(MANIFEST, class_names=tuple(f"class {index}" for index in range(19)))

    def test_official(self, tmp_path):
        x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        state, expected = reference.invent(reference.ROWS["seg-b0"], x.double())
        torch.save({"state_dict": state}, tmp_path / "x.pt")
        network, manifest = load_network(tmp_path / "x.pt", self.manifest)
        assert manifest == dataclasses.replace(self.manifest, weights_precision="fp32")
        with torch.inference_mode():
            torch.testing.assert_close(network(x).double(), expected, rtol=1e-3, atol=1e-4)

    def test_a_file_that_does_not_say_what_it_is(self, tmp_path):
        torch.save(official_state(), tmp_path / "x.pt")
        with pytest.raises(WeightsError, match=r"x\.pt.*name the model"):
            load_network(tmp_path / "x.pt", None)

    def test_missing(self, tmp_path):
        for name in ("x.pt", "x.safetensors"):
            with pytest.raises(WeightsError, match="no such"):
                load_network(tmp_path / name, self.manifest)

    def test_wrong_class_count(self, tmp_path):
        torch.save(official_state(), tmp_path / "x.pt")
        with pytest.raises(WeightsMismatchError, match=r"x\.pt.*head\.output"):
            load_network(tmp_path / "x.pt", MANIFEST)


def test_values_that_are_no_numbers_are_refused_by_name():
    state = create_model("seg-b0").state_dict()
    state["head.output.1.conv.weight"][0, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"x\.pt: head\.output\.1\.conv\.weight holds infinite values or NaN"):
        load_state(create_model("seg-b0"), state, source="x.pt")


def test_weights_beyond_half_precision_stay_what_they_are(tmp_path):
    model = random_model(classes=3)
    with torch.no_grad():
        model.head.output[1].conv.weight[0, 0] = 1e6
    save_own(model, tmp_path / "x.safetensors", MANIFEST)
    loaded, _ = load_network(tmp_path / "x.safetensors", None)
    assert torch.equal(loaded.head.output[1].conv.weight, model.head.output[1].conv.weight)


def test_the_wrapper_of_several_devices_is_taken_off(tmp_path):
    state = official_state()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "x.pt")
    assert read_weights(tmp_path / "x.pt").tensors.keys() == state.keys()


@pytest.mark.parametrize("name", ["x.onnx", "x", "x.pt2", "x.txt"])
def test_files_that_are_no_weights_by_their_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsError, match="its suffix must be one of"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("ablation", ["multi_scale", "global_attention"])
def test_ablated_networks_are_saved_and_loaded(tmp_path, ablation):
    torch.manual_seed(0)
    network = create_model("seg-b0", classes=3, **{ablation: False}).eval()
    manifest = dataclasses.replace(MANIFEST, **{ablation: False})
    path = tmp_path / "ablated.safetensors"
    save_own(network, path, manifest)
    loaded, found = load_network(path, None)
    assert getattr(found, ablation) is False
    assert loaded.state_dict().keys() == network.state_dict().keys()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(image), network(image), rtol=0.05, atol=0.05)
    # under the name of the whole architecture it is another model
    with pytest.raises(WeightsError, match=f"holds seg-b0 without {ablation} with 3 classes"):
        load_network(path, MANIFEST)


def test_a_header_without_its_ablation_does_not_load(tmp_path):
    save_own(create_model("seg-b0", classes=3, multi_scale=False), tmp_path / "x.safetensors", MANIFEST)
    with pytest.raises(WeightsMismatchError, match="aggregation"):
        load_network(tmp_path / "x.safetensors", None)


def test_an_ablation_that_the_architecture_lacks_is_refused(tmp_path):
    manifest = Manifest("odd", "promptable", "mobile-sam", multi_scale=False, multiple=1024)
    save_own(torch.nn.Linear(2, 2), tmp_path / "x.safetensors", manifest)
    with pytest.raises(WeightsError, match=r"x\.safetensors: mobile-sam is not an EfficientViT"):
        load_network(tmp_path / "x.safetensors", None)


def test_suffixes_in_capitals(tmp_path):
    save_own(random_model(3), tmp_path / "X.SAFETENSORS", MANIFEST)
    assert load_network(tmp_path / "X.SAFETENSORS", None)[1].name == MANIFEST.name
