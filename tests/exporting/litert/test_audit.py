"""What a LiteRT file is made of, and which runtimes take it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import keras_vit
from keras_vit.cli.command_line import main
from keras_vit.exporting import export
from keras_vit.exporting.conversion import Converted
from keras_vit.exporting.litert.audit import (
    Audit,
    audit,
    check_gpu,
    check_ops,
    list_ops,
)
from keras_vit.exporting.litert.gpu_delegate import gpu_refusal
from keras_vit.exporting.litert.graph import Op, Tensor
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND


@pytest.fixture(scope="module")
def tflite(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "model.tflite"
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    keras_vit.export(model, path, author="Ada", license="Apache-2.0", report=False)
    return path


def plant_flex(path: Path, target: Path) -> None:
    """Write a file whose GELU has become an op of TensorFlow."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    codes = flatbuffer_utils.BuiltinOperator
    (gelu,) = [code for code in model.operatorCodes if code.builtinCode == codes.GELU]
    gelu.builtinCode = gelu.deprecatedBuiltinCode = codes.CUSTOM
    gelu.customCode = b"FlexErf"
    flatbuffer_utils.write_model(model, target)


def test_each_op_is_named_and_computed_by_xnnpack(tflite):
    found = audit(tflite)
    assert {op.name: op.count for op in found.ops} == list_ops(tflite)
    assert found.xnnpack_partitions == 1 and not found.dynamic_shapes
    assert all(op.xnnpack == op.count for op in found.ops)
    products = next(op for op in found.ops if op.name == "FULLY_CONNECTED")
    assert products.dtypes == ("float32",) and not products.gpu


def test_what_the_converter_broadcasts_is_refused_by_gpus(
    tflite, tmp_path, monkeypatch
):
    from keras_vit.exporting.litert import convert as litert

    assert not audit(tflite).gpu_refusals
    monkeypatch.setattr(litert, "suit_gpus", lambda path: None)
    path = tmp_path / "model.tflite"
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    keras_vit.export(model, path, report=False)
    assert list(audit(path).gpu_refusals) == ["ADD"]
    with pytest.raises(
        RuntimeError, match="received ADD: broadcasts .*without the pro"
    ):
        check_gpu(path)


def test_a_planted_flex_op_is_named(tflite, tmp_path):
    plant_flex(tflite, tmp_path / "flex.tflite")
    with pytest.raises(RuntimeError, match=r"received \['CUSTOM:FlexErf'\]"):
        check_ops(tmp_path / "flex.tflite")
    found = audit(tmp_path / "flex.tflite")
    assert found.xnnpack_partitions is None
    assert found.gpu_refusals["CUSTOM:FlexErf"] == ("not in its list",)


def test_an_export_with_a_flex_op_fails_and_leaves_nothing(
    tflite, tmp_path, monkeypatch
):
    def convert(prepared, target, scratch, **options):
        plant_flex(tflite, target)
        return Converted()

    monkeypatch.setattr(export, "convert", convert)
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    with pytest.raises(RuntimeError, match="FlexErf"):
        keras_vit.export(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_info_prints_the_audit_and_who_made_the_file(tflite, capsys):
    assert main(["info", str(tflite)]) == 0
    out = capsys.readouterr().out
    assert "Ada" in out and "Apache-2.0" in out and "keras3-vit=" in out
    assert "GPU delegate" in out and "FULLY_CONNECTED" in out
    assert main(["info", str(tflite), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {op["name"] for op in facts["audit"]} == set(facts["ops"])


def tensor(*shape: int, dtype: str = "float32", constant: bool = False) -> Tensor:
    return Tensor(
        name="", shape=shape, dtype=dtype, is_constant=constant, is_dynamic=False
    )


def op(kind: str, inputs, outputs, **options) -> Op:
    return Op(
        kind=kind, inputs=inputs, outputs=outputs, options=SimpleNamespace(**options)
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (op("BROADCAST_TO", (tensor(1, 4),), (tensor(4, 4),)), "not in its list"),
        (op("RESHAPE", (tensor(8),), (tensor(1, 1, 2, 2, 2),)), "rank above 4"),
        (op("MEAN", (tensor(8, dtype="int16"),), (tensor(1),)), "dtype int16"),
        (op("CAST", (tensor(8, dtype="uint8"),), (tensor(8),)), "dtype uint8"),
        (op("ADD", (tensor(4, 8), tensor(1, 4, 8)), ()), "broadcasts"),
        (op("ADD", (tensor(8), tensor(1, 4, 8)), ()), None),
        (op("MUL", (tensor(4, 4, 8), tensor(1, 4, 4, 8)), ()), None),
        (op("SLICE", (tensor(4, 8),), ()), "not rank 3 or 4"),
        (
            op("STRIDED_SLICE", (tensor(1, 4, 8),), (), shrinkAxisMask=1),
            "adds or removes an axis",
        ),
        (
            op(
                "FULLY_CONNECTED",
                (tensor(1, 8), tensor(8, 8, dtype="int4", constant=True)),
                (tensor(1, 8),),
                keepNumDims=False,
            ),
            "weights of int4",
        ),
    ],
)
def test_the_rules_of_the_gpu_delegate(given, reason):
    found = gpu_refusal(given)
    assert found is None if reason is None else reason in str(found)


def test_dynamic_shapes_are_refused():
    found = Audit(ops=(), xnnpack_partitions=1, dynamic_shapes=("float32[1, 8]",))
    assert found.gpu_refusals == {"dynamic shapes": ("float32[1, 8]",)}


def test_a_table_has_a_row_for_each_op(tflite):
    found = audit(tflite)
    header, *rows = found.table().splitlines()
    assert header.split()[:2] == ["op", "count"]
    assert [row.split()[0] for row in rows] == [op.name for op in found.ops]
    assert np.sum([int(row.split()[1]) for row in rows]) == sum(
        list_ops(tflite).values()
    )
