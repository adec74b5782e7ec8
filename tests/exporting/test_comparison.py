"""All formats and precisions of a model in one table."""

from __future__ import annotations

import json

import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.cli import main
from keras_vit.exporting import export_all as exporting_all
from keras_vit.exporting.comparison import Comparison, ComparisonRow, mark_best
from keras_vit.exporting.export_all import export_all
from keras_vit.exporting.formats import FORMATS
from keras_vit.exporting.timing import Latency
from tests.contract import set_random_weights
from tests.one_backend import ONE_BACKEND
from tests.pictures import digit_pictures

pytestmark = ONE_BACKEND

PICTURES, LABELS = zip(*digit_pictures(30), strict=True)


def make_model() -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant(
        "test", num_classes=10, preprocessing=Preprocessing(image_size=32)
    )
    set_random_weights(model)
    return model


def row(megabytes: float, ratio: float, accuracy: float, **options) -> ComparisonRow:
    latency = Latency(
        batch=1,
        threads=1,
        num_calls=9,
        median_ms=3 * ratio,
        p95_ms=4 * ratio,
        images_per_second=300 / ratio,
    )
    return ComparisonRow(
        format="litert",
        quantization="int8",
        file="litert_int8.tflite",
        num_bytes=int(megabytes * 1e6),
        accuracy=accuracy,
        top1_agreement=0.5,
        latency=latency,
        latency_ratio=ratio,
        **options,
    )


def test_the_best_are_those_that_no_other_one_beats():
    rows = [
        row(4.0, 1.0, 0.99),
        row(2.0, 1.004, 0.99),  # Not slower: the third digit is chance.
        row(1.0, 0.5, 0.98),
        row(1.0, 0.6, 0.98),  # Slower for nothing.
        row(0.5, 2.0, 0.97),
        ComparisonRow(format="saved_model", quantization="float32", problem="none"),
    ]
    found = [one.is_best for one in mark_best(rows)]
    assert found == [False, True, True, False, True, False]


def test_equal_files_are_both_best():
    assert all(one.is_best for one in mark_best([row(1.0, 0.5, 0.9)] * 2))


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Comparison:
    return export_all(
        make_model(),
        tmp_path_factory.mktemp("exports"),
        evaluation=(PICTURES, LABELS),
        formats=["litert"],
        accept_loss=True,
    )


def test_each_precision_has_a_row_with_a_file_or_a_reason(compared):
    rows = {row.quantization: row for row in compared.rows}
    assert {*rows} == {"float32", *FORMATS["litert"].quantizations}
    for name, found in rows.items():
        if name in ("int8", "int16x8", "mixed_int8"):
            assert "--calibration" in found.problem and not found.file
            assert found.latency is None and not found.is_best
            continue
        assert found.num_bytes == (compared.folder / found.file).stat().st_size
        assert 0 <= found.accuracy <= 1 and found.latency.median_ms > 0
    assert rows["float32"].latency_ratio == 1.0
    assert rows["float32"].top1_agreement == 1.0
    assert any(found.is_best for found in compared.rows)


def test_table_and_picture_are_beside_the_files(compared):
    assert compared.summaries() == ["table.md", "table.json", "table.png"]
    table = json.loads((compared.folder / "table.json").read_text())
    assert table == json.loads(json.dumps(compared.as_json()))
    lines = (compared.folder / "table.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| litert |")]
    assert len(rows) == len(compared.rows) and "| **best** |" in "".join(rows)


def test_what_is_not_installed_says_so_in_its_row(tmp_path, monkeypatch):
    def missing(model, path, **options):
        if options["quantization"] != "float32":
            raise ImportError("Exporting needs a_quantizer.")
        raise RuntimeError("The conversion failed:\n  Traceback\n  ValueError: no")

    monkeypatch.setattr(exporting_all, "export", missing)
    with pytest.raises(RuntimeError, match="ValueError: no; .* needs a_quantizer"):
        export_all(make_model(), tmp_path / "new", formats=["litert"])
    assert not list(tmp_path.iterdir())


def test_training_images_calibrate(monkeypatch, tmp_path):
    seen = {}

    def no_export(model, path, **options):
        seen[options["quantization"]] = options["calibration"]
        raise ValueError("not today")

    monkeypatch.setattr(exporting_all, "export", no_export)
    data = keras_vit.load_data("digits")
    with pytest.raises(RuntimeError, match="not today"):
        export_all(make_model(), tmp_path / "new", evaluation=data, formats=["litert"])
    assert len(seen["int8"]) == 100 and seen["dynamic_int8"] is None


def test_unknown_formats_and_thresholds_are_refused_once(tmp_path):
    with pytest.raises(ValueError, match="'saved_model'.*format='tf'"):
        export_all(make_model(), tmp_path / "new", formats=["tflite", "tf"])
    with pytest.raises(ValueError, match="max_loss must be a share"):
        export_all(make_model(), tmp_path / "new", max_loss=2.0)
    assert not list(tmp_path.iterdir())


def test_a_mistake_that_stops_all_is_said_once(tmp_path):
    with pytest.raises(RuntimeError) as error:
        export_all(make_model(), tmp_path / "new", evaluation=([PICTURES[0]], [99]))
    assert str(error.value).count("onnx: Labels must be from 0 to 9") == 1


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "chapter.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="never replaced"):
        export_all(make_model(), tmp_path, overwrite=True)
    (tmp_path / "table.json").write_text("{}")
    with pytest.raises(FileExistsError, match="--overwrite"):
        export_all(make_model(), tmp_path)
    assert (tmp_path / "chapter.txt").read_text() == "years of work"


@pytest.fixture
def saved(tmp_path):
    model = make_model()
    keras_vit.save(model, tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_the_command_judges_by_held_out_images(saved, monkeypatch, capsys):
    seen = {}

    def compare(model, folder, **options):
        seen.update(options, folder=folder)
        return Comparison(
            folder=saved.parent,
            rows=mark_best([row(1.0, 0.5, 0.9)]),
            num_images=599,
            source="evaluation",
            model_accuracy=0.91,
            device="a processor",
        )

    monkeypatch.setattr("keras_vit.cli.export.export_all", compare)
    arguments = ["export", str(saved), "--all", "--data", "digits", "--max-loss", "0.1"]
    assert main(arguments) == 0
    assert len(seen["evaluation"].test) == 599 and seen["max_loss"] == 0.1
    assert str(seen["folder"]) == str(saved.with_name("model_exports"))
    out = capsys.readouterr().out
    assert "| litert | int8 | 1.000 | 90.00% |" in out and "91.00%" in out
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["is_best"]


@pytest.mark.parametrize(
    "option",
    [
        *("--quantization=int8", "--batch=2", "--attention", "--profile=mobile"),
        *("--probabilities", "--author=Ada", "--model-version=1"),
    ],
)
def test_options_of_one_file_do_not_fit_all(saved, option, capsys):
    assert main(["export", str(saved), "--all", option]) == 2
    assert option.split("=")[0] in capsys.readouterr().err
