"""Texts inside model files."""

from __future__ import annotations

import zipfile

import pytest

from keras_vit import embedded_texts as containers

TEXTS = {"keras_vit.json": '{"a": "ä\n<&\\"}' + 300 * "x", "labels.txt": "ant\nbee\n"}


def test_texts_of_an_onnx_file_are_those_that_onnx_reads(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    graph = onnx.helper.make_graph([], "g" * 1000, [], [])
    onnx.save(onnx.helper.make_model(graph), path)
    assert containers.read_onnx(path) == {}
    containers.append_onnx(path, TEXTS)
    assert containers.read_onnx(path) == TEXTS
    found = onnx.load(path)
    assert {p.key: p.value for p in found.metadata_props} == TEXTS
    assert found.graph.name == "g" * 1000


def test_a_file_that_stops_half_way_has_no_texts(tmp_path):
    path = tmp_path / "model.onnx"
    containers.append_onnx(path, TEXTS)
    content = path.read_bytes()
    for size in (1, 2, 5, len(content) // 2):
        path.write_bytes(content[:size])
        assert containers.read_onnx(path) == {}


def test_texts_behind_a_model_are_in_a_zip_archive(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"a model")
    assert containers.read_zip(path) == {}
    containers.append_zip(path, TEXTS)
    assert containers.read_zip(path) == TEXTS
    assert path.read_bytes().startswith(b"a model")


def test_texts_of_a_torch_file_are_in_its_folder(tmp_path):
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/weights.json", "{}")
    containers.add_to_torch(path, TEXTS)
    assert containers.read_zip(path) == TEXTS
    with zipfile.ZipFile(path) as archive:
        assert "model/extra/labels.txt" in archive.namelist()


@pytest.mark.parametrize("content", ["<net/>", "<net><rt_info><a/></rt_info></net>"])
def test_texts_of_an_openvino_model_keep_their_lines(tmp_path, content):
    path = tmp_path / "openvino_model.xml"
    path.write_text(content)
    assert containers.read_openvino(path) == {}
    containers.add_to_openvino(path, TEXTS)
    assert containers.read_openvino(path) == TEXTS
