"""Tensors in safetensors files: what is written is read, and what is damaged is refused."""

import hashlib
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from densevit.weights import (
    WeightsError,
    has_weights_suffix,
    hash_file,
    hash_tensors,
    read_tensors,
    to_stored_precision,
    write_tensors,
)

TENSORS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array([1.5, -0.0, np.inf], np.float16),
    "c.d": np.array(7, np.int64),
    "empty": np.zeros((0, 3), np.float32),
}


def equal(got, expected):
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype
        assert got[name].shape == tensor.shape
        np.testing.assert_array_equal(got[name], tensor)


def test_round_trip(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, metadata={"densevit": '{"a": 1}', "ä": "ö\n"})
    got, metadata = read_tensors(path)
    equal(got, TENSORS)
    assert metadata == {"densevit": '{"a": 1}', "ä": "ö\n"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.safetensors"]


def test_without_header_entries(tmp_path):
    write_tensors(tmp_path / "x", TENSORS, metadata={})
    assert read_tensors(tmp_path / "x")[1] == {}


@given(hnp.arrays(st.sampled_from([np.float16, np.float32, np.uint8]), hnp.array_shapes(max_side=4)))
@settings(max_examples=40, deadline=None)
def test_any_array(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("weights") / "x.safetensors"
    write_tensors(path, {"x": array}, metadata={})
    got = read_tensors(path)[0]
    assert hash_tensors(got) == hash_tensors({"x": array})


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, metadata={})
    before = path.read_bytes()
    bad = {"x": np.array([object()])}
    with pytest.raises(Exception, match=r".+"):
        write_tensors(path, bad, metadata={})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.safetensors"]


def refused(path) -> str:
    with pytest.raises(WeightsError) as error:
        read_tensors(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_missing(tmp_path):
    assert "no such" in refused(tmp_path / "none.safetensors")
    refused(tmp_path)


def test_truncated_anywhere(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, metadata={"densevit": "{}"})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path)


def test_bytes_after_the_end(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, metadata={})
    path.write_bytes(path.read_bytes() + b"x")
    refused(path)


def test_random_bytes(tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "x.safetensors"
    for length in generator.integers(0, 500, 50):
        path.write_bytes(generator.bytes(length))
        refused(path)


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "header",
    [
        {"x": entry(shape=[2**40], offsets=[0, 2**42])},
        {"x": entry(shape=[2**62, 4], offsets=[0, 8])},
        {"x": entry(offsets=[0, 2**63])},
        {"x": entry(offsets=[8, 0])},
        {"x": entry(offsets=[4, 12])},
        {"x": entry(dtype="F99")},
        {"x": entry(shape=[-2])},
        {"x": entry(), "y": entry()},
        {"__metadata__": {"densevit": 3}, "x": entry()},
        ["x"],
    ],
    ids=repr,
)
def test_headers_that_lie(tmp_path, header):
    text = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    refused(path)


@pytest.mark.parametrize("length", [0, 1, 10**6, 10**8, 2**31, 2**40, 2**63, 2**64 - 1])
def test_header_lengths_that_lie(tmp_path, length):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{")
    refused(path)


def test_types_that_numpy_lacks(tmp_path):
    text = json.dumps({"x": entry(dtype="BF16", offsets=[0, 4])}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    assert "fp16 or fp32" in refused(path)


def test_a_deeply_nested_header(tmp_path):
    text = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    refused(path)


def test_stored_precision():
    tensors = {
        "conv": np.full((2, 1, 1, 1), 1 / 3),
        "linear": np.full((2, 2), 70_000.0, np.float32)[::-1, :1],
        "norm": np.full(2, 1 / 3),
        "scalar": np.float64(0.1),
        "counter": np.array(3, np.int64),
        "table": np.ones((2, 2), np.int32),
    }
    tensors["linear"] = tensors["linear"] / 2
    kept = {name: np.array(tensor) for name, tensor in tensors.items()}
    got = to_stored_precision(tensors)
    assert {name: tensor.dtype for name, tensor in got.items()} == {
        "conv": np.float16,
        "linear": np.float16,
        "norm": np.float32,
        "scalar": np.float32,
        "counter": np.int64,
        "table": np.int32,
    }
    assert got["linear"].shape == (2, 1)
    assert all(tensor.flags.c_contiguous for tensor in got.values())
    np.testing.assert_array_equal(got["conv"], np.float16(1 / 3))
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, kept[name])


class TestHash:
    """The hash is of names, types, shapes and values, and of nothing else."""

    def test_the_same_for_any_order_and_layout(self):
        turned = {name: np.asfortranarray(TENSORS[name]) for name in reversed(TENSORS)}
        assert hash_tensors(turned) == hash_tensors(TENSORS)
        assert len(hash_tensors(TENSORS)) == 64

    def test_the_same_after_a_file(self, tmp_path):
        write_tensors(tmp_path / "x", TENSORS, metadata={"a": "b"})
        assert hash_tensors(read_tensors(tmp_path / "x")[0]) == hash_tensors(TENSORS)

    @pytest.mark.parametrize(
        "change",
        [
            {"b": TENSORS["b"].reshape(3, 2)},
            {"b": TENSORS["b"].view(np.int32)},
            {"b": TENSORS["b"] + 1},
            {"a": np.array([1.5, 0.0, np.inf], np.float16)},
            {"e": np.zeros(0)},
        ],
    )
    def test_another_for_any_change(self, change):
        assert hash_tensors({**TENSORS, **change}) != hash_tensors(TENSORS)

    def test_another_for_another_name(self):
        renamed = {("z" if name == "b" else name): tensor for name, tensor in TENSORS.items()}
        assert hash_tensors(renamed) != hash_tensors(TENSORS)

    def test_files(self, tmp_path):
        content = bytes(range(256)) * 1000
        (tmp_path / "x").write_bytes(content)
        assert hash_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(WeightsError, match=str(path)):
                hash_file(path)

    def test_an_unchanged_file_is_read_once(self, tmp_path, monkeypatch):
        path = tmp_path / "x"
        read = []

        def digest(file, kind, digest=hashlib.file_digest):
            read.append(file.name)
            return digest(file, kind)

        monkeypatch.setattr(hashlib, "file_digest", digest)
        for content in (b"one", b"two"):
            # within one tick of the clock, which cannot tell them apart
            path.write_bytes(content)
            assert hash_file(path) == hashlib.sha256(content).hexdigest()
        assert len(read) == 2
        for hour in (1, 2):
            path.write_bytes(b"old%d" % hour)
            os.utime(path, (hour * 3600, hour * 3600))
            for _ in range(3):
                assert hash_file(path) == hashlib.sha256(b"old%d" % hour).hexdigest()
        assert len(read) == 4


def test_tensors_of_any_memory_layout(tmp_path):
    rows = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    tensors = {"turned": rows.transpose(2, 0, 1), "every_second": rows[:, :, ::2]}
    write_tensors(tmp_path / "a.safetensors", tensors, metadata={})
    found, _ = read_tensors(tmp_path / "a.safetensors")
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


@pytest.mark.parametrize(
    ("name", "is_weights"),
    [("a.pt", True), ("a.PT", True), ("a.SafeTensors", True), ("a.b.pth", True), ("a.onnx", False), ("pt", False)],
)
def test_suffixes_of_weights_in_any_case(name, is_weights):
    assert has_weights_suffix(Path(name)) == is_weights


def test_a_suffix_in_upper_case_is_read(tmp_path):
    path = tmp_path / "X.SAFETENSORS"
    write_tensors(path, {"a": np.ones(3, np.float32)}, metadata={"made": "here"})
    tensors, metadata = read_tensors(path)
    equal(tensors, {"a": np.ones(3, np.float32)})
    assert metadata == {"made": "here"}
