"""Our reader and writer against the safetensors package and damaged files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keras_vit.checkpoints.files.safetensors import SafetensorsFile, write_safetensors

ARRAYS = {
    "a": np.arange(6, dtype="float32").reshape(2, 3),
    "scalar": np.asarray(7, dtype="int64"),
    "half": np.ones((3, 1), dtype="float16"),
    "empty": np.zeros((0, 4), dtype="uint8"),
    "flags": np.array([True, False]),
}


def test_reads_what_the_package_writes(tmp_path):
    save_file(ARRAYS, tmp_path / "x.safetensors", {"format": "pt"})
    file = SafetensorsFile(tmp_path / "x.safetensors")
    assert set(file) == set(ARRAYS) and file.metadata == {"format": "pt"}
    for name, array in ARRAYS.items():
        assert file[name].dtype == array.dtype and file[name].shape == array.shape
        np.testing.assert_array_equal(file[name], array)


def test_the_package_reads_what_we_write(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", ARRAYS)
    found = load_file(tmp_path / "x.safetensors")
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_transposed_arrays_are_written_in_their_order(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", {"a": ARRAYS["a"].T})
    np.testing.assert_array_equal(
        SafetensorsFile(tmp_path / "x.safetensors")["a"], ARRAYS["a"].T
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(ARRAYS, path)
    return path


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_a_truncated_file_is_refused(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="no complete .safetensors file"):
        SafetensorsFile(file)


def write_header(path, header, data=b"\0" * 8) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        [],
        {"a": 3},
        {"a": {}},
        {"a": {**ENTRY, "shape": [3]}},
        {"a": {**ENTRY, "shape": [-2]}},
        {"a": {**ENTRY, "shape": "ab"}},
        {"a": {**ENTRY, "dtype": "X7"}},
        {"a": {**ENTRY, "data_offsets": [4, 12]}},
        {"a": {**ENTRY, "data_offsets": [-8, 0]}},
        {"a": {**ENTRY, "data_offsets": [0]}},
        {"a": ENTRY, "b": ENTRY},
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, header):
    path = tmp_path / "x.safetensors"
    write_header(path, header)
    with pytest.raises(ValueError, match="no complete .safetensors file"):
        SafetensorsFile(path)


def test_a_huge_header_is_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes((2**60).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="the header says"):
        SafetensorsFile(path)


def test_an_unknown_dtype_is_not_written(tmp_path):
    with pytest.raises(TypeError, match="use float32"):
        write_safetensors(tmp_path / "x.safetensors", {"a": np.zeros(2, "complex64")})
    assert not list(tmp_path.iterdir())


WRONG = (
    *(None, [], {}, "x", -1, 0, 1e30, [1, 2, 3], True, {"a": 1}, [2.0, 3], [True, 6]),
    *([-2, -3], ["2", "3"], 2**70, [2**40, 2**40], [0, 24], [0.0, 24.0], [[2], 3]),
    *("F32", "BF16", "F8_E4M3", "C64", float("nan")),
)


def test_what_opens_can_be_read_whatever_the_header_says(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": ARRAYS["a"]}, path, {"format": "pt"})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    places = [(header, name) for name in header]
    places += [(header[name], key) for name in header for key in header[name]]
    num_read = 0
    for place, key in places:
        kept = place[key]
        for value in WRONG:
            place[key] = value
            write_header(path, header, data)
            try:
                file = SafetensorsFile(path)
            except ValueError:
                continue
            assert all(file[name].size for name in file)
            assert isinstance(file.metadata, dict)
            num_read += 1
        place[key] = kept
    assert num_read
