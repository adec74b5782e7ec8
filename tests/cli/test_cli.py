"""The command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import keras_vit
from keras_vit.cli import info, main
from keras_vit.cli import train as TRAIN
from keras_vit.distribution import Distribution
from keras_vit.files import replacing
from tests.one_backend import ONE_BACKEND
from tests.pictures import digit_pictures, truncated_jpeg, write_folder

SMALL = [
    "--hidden-dim",
    "16",
    "--num-layers",
    "1",
    "--num-heads",
    "2",
    "--mlp-dim",
    "32",
]


def run(*arguments: object) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "keras_vit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A digits model of two epochs, and what its training printed."""
    folder = tmp_path_factory.mktemp("cli") / "digits"
    arguments = ["train", "--data", "digits", "--output", folder, "--epochs", 2, *SMALL]
    result = run(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "digit.png"
    digit_pictures(10)[3][0].save(path)
    return path


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process: exit code, output, errors."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_train_reports_and_leaves_a_model_with_its_card(trained):
    folder, report = trained
    assert report["epochs"] == 2 and report["num_images"] == 599
    assert {path.name for path in folder.iterdir()} >= {"model.keras", "README.md"}
    card = (folder / "README.md").read_text()
    assert f"**{report['accuracy']:.4f}**" in card
    assert "keras-vit train --data digits" in card and "## Limits" in card


def test_train_takes_fields_of_the_recipe_and_a_teacher(trained, tmp_path, capsys):
    folder, _ = trained
    code, out, err = call(
        capsys,
        *("train", "--data", "digits", "--epochs", 1, *SMALL, "--json"),
        *("--set", "distillation=soft", "--set", "layer_decay=0.75"),
        *("--set", "image_sizes=[]", "--teacher", folder / "model.keras"),
        *("--output", tmp_path / "new", "--distribute", "auto"),
    )
    assert code == 0, err
    facts = json.loads((tmp_path / "new" / "training.json").read_text())["facts"]
    assert facts["recipe.layer_decay"] == 0.75
    assert facts["recipe.distillation"] == "soft" and facts["teacher"]


def test_train_builds_the_model_that_a_recipe_needs(tmp_path, capsys):
    code, out, err = call(
        capsys,
        *("train", "--data", "digits", "--epochs", 2, *SMALL),
        *("--set", "image_sizes=[[0, 8], [1, 16]]", "--set", "patch_dropout_rate=0.25"),
        *("--output", tmp_path / "new"),
    )
    assert code == 0, err
    model = keras_vit.load(tmp_path / "new")
    assert model.input_shape[1:3] == (None, None)
    assert model.preprocessing.image_size == (16, 16)
    assert model.config.position_grid == (4, 4)
    assert model.config.patch_dropout_rate == 0.25
    macs = f"{model.config.changed(image_size=(16, 16)).macs:,}"
    told = call(capsys, "info", tmp_path / "new")[1]
    for text in (out, told, (tmp_path / "new" / "README.md").read_text()):
        assert macs in text


def test_processes_with_other_options_end_before_any_work(
    tmp_path, capsys, monkeypatch
):
    class Disagreeing(Distribution):
        def exchange(self, text):
            return [text, text.replace('"hidden_dim": 16', '"hidden_dim": 32')]

    monkeypatch.setattr(TRAIN, "distribute", lambda *_, **__: Disagreeing())
    monkeypatch.setattr(TRAIN, "open_data", None)
    train = ["train", "--data", "digits", "--output", tmp_path / "new", *SMALL]
    code, _, err = call(capsys, *train)
    assert code == 2 and "hidden_dim: 16 (process 0), 32 (process 1)" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "layer_decay"], "must be FIELD=VALUE"),
        (["--set", "layers=1"], r"Unknown recipe option\(s\) \['layers'\]"),
        (["--set", "layer_decay=2"], "layer_decay must be"),
        (["--set", "distillation=hard"], "Pass both or none"),
        (["--distribute", "cluster"], "kind must be one of"),
        (["--batch-size", 10, "--set", "accumulation_steps=3"], "accumulation_steps"),
    ],
)
def test_wrong_fields_of_a_recipe_are_named(arguments, message, tmp_path, capsys):
    train = ["train", "--data", "digits", "--output", tmp_path / "new", *SMALL]
    try:
        code, _, err = call(capsys, *train, *arguments)
    except SystemExit as error:  # argparse's own mistakes
        code, err = error.code, capsys.readouterr().err
    assert code == 2 and re.search(message, err), err
    assert not (tmp_path / "new").exists()


def test_sigterm_ends_with_a_code_of_its_own(monkeypatch, tmp_path, capsys):
    from keras_vit.training.interruption import TrainingInterrupted

    def stop(*args, **kwargs):
        raise TrainingInterrupted("Stopped by SIGTERM after epoch 1, batch 2")

    monkeypatch.setattr(TRAIN, "train", stop)
    code, _, err = call(
        capsys, "train", "--data", "digits", "--output", tmp_path / "new", *SMALL
    )
    assert code == 75 and "Stopped by SIGTERM" in err


def test_sigterm_unwinds_what_runs(monkeypatch, tmp_path):
    def write(options):
        with replacing(tmp_path / "new" / "file") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(info, "run_info", write)
    former = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        main(["info", "model.keras"])
    assert stop.value.code == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == former


def test_evaluate_holds_out_what_training_held_out(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    output = tmp_path / "model"
    code, out, _ = call(
        capsys,
        *("train", "--data", tmp_path / "photos", "--variant", "test", "--epochs", 1),
        *("--split-seed", 5, "--test-fraction", 0.25, "--output", output, "--json"),
    )
    trained = json.loads(out)
    assert code == 0 and trained["part"] == "test"
    command = ("evaluate", output, "--data", tmp_path / "photos", "--json")
    assert json.loads(call(capsys, *command)[1])["loss"] == trained["loss"]
    other = json.loads(call(capsys, *command, "--split-seed", 6)[1])
    assert other["loss"] != trained["loss"]


def test_train_on_a_folder_then_predict(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    code, out, _ = call(
        capsys,
        *("train", "--data", tmp_path / "photos", "--variant", "test"),
        *("--epochs", 1, "--output", tmp_path / "model"),
    )
    assert code == 0 and "32 train, 8 validation" in out and "accuracy" in out
    picture = next((tmp_path / "photos" / "digit_1").iterdir())
    code, out, _ = call(capsys, "predict", tmp_path / "model", picture, "--json")
    [predictions] = json.loads(out).values()
    assert code == 0 and len(predictions) == 4
    assert {p["class_name"] for p in predictions} == {f"digit_{i}" for i in range(4)}


def test_evaluate_gives_the_accuracy_of_training(trained, capsys):
    folder, report = trained
    code, out, _ = call(capsys, "evaluate", folder, "--data", "digits", "--json")
    assert code == 0
    assert json.loads(out)["accuracy"] == pytest.approx(report["accuracy"])


def test_predict_prints_the_top_classes(trained, picture, capsys):
    code, out, _ = call(capsys, "predict", trained[0], picture, "--top", 3)
    assert code == 0 and out.splitlines()[0] == str(picture)
    assert len(out.splitlines()) == 4 and "%" in out


@ONE_BACKEND
def test_export_then_predict_from_the_file(trained, picture, capsys):
    folder, _ = trained
    for format, name in (
        ("tflite", "model.tflite"),
        ("saved_model", "model_saved_model"),
    ):
        code, out, _ = call(capsys, "export", folder, "--format", format, "--json")
        report = json.loads(out)
        assert code == 0 and report["path"] == str(folder / name)
        assert report["top1_agreement"] == 1.0
        expected = json.loads(call(capsys, "predict", folder, picture, "--json")[1])
        found = json.loads(call(capsys, "predict", folder / name, picture, "--json")[1])
        first, other = expected[str(picture)][0], found[str(picture)][0]
        assert first["class_name"] == other["class_name"]
        assert first["probability"] == pytest.approx(other["probability"], abs=1e-4)
        code, out, _ = call(capsys, "info", folder / name, "--json")
        assert code == 0 and json.loads(out)["class_names"] == list("0123456789")


def test_list_finds_pretrained_models(capsys):
    code, out, _ = call(capsys, "list", "*dinov2*", "--license", "apache")
    assert code == 0 and "vit_base_patch14_dinov2.lvd142m" in out
    code, out, _ = call(capsys, "list", "--family", "siglip", "--json")
    assert {row["family"] for row in json.loads(out)} == {"SigLIP MAP", "SigLIP GAP"}
    code, out, _ = call(capsys, "list", "vit_tiny*", "--best-under", "6M")
    lines = out.splitlines()
    assert code == 0 and "78.4 %" in lines[1] and "vit_tiny_patch16_384" in lines[1]
    for text in ("many", "", "M"):
        with pytest.raises(SystemExit):
            call(capsys, "list", "--best-under", text)
    code, out, _ = call(
        capsys, "list", "test_vit*", "--best-under", "1M", "--time", 1, "--json"
    )
    rows = json.loads(out)
    assert code == 0 and rows[0]["milliseconds"] > 0
    assert all("milliseconds" not in row for row in rows[1:])
    code, out, _ = call(capsys, "list", "nothing*")
    assert code == 0 and "no model fits" in out


def test_train_starts_from_a_checkpoint(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    model = keras_vit.ViT.from_variant("test", num_classes=7)
    keras_vit.save(model, tmp_path / "start", format="timm")
    code, out, err = call(
        capsys,
        *("train", "--data", tmp_path / "photos", "--weights", tmp_path / "start"),
        *("--epochs", 1, "--output", tmp_path / "tuned", "--json"),
    )
    assert code == 0, err
    assert keras_vit.load(tmp_path / "tuned").config.num_classes == 4
    code, _, err = call(
        capsys,
        *("train", "--data", "digits", "--weights", "nonsense"),
        *("--output", tmp_path / "new"),
    )
    assert code == 2 and "no architecture of timm" in err
    code, _, err = call(
        capsys,
        *("train", "--data", "digits", "--architecture", "vit_small_patch16_224"),
        *("--output", tmp_path / "new"),
    )
    assert code == 2 and "Pass --weights FILE" in err


def test_train_fits_a_head_where_weights_are_given_and_nothing_else(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("keras_vit.cli.train.has_accelerator", lambda: False)
    write_folder(tmp_path / "photos")
    model = keras_vit.ViT.from_variant(
        "test", num_classes=7, preprocessing=keras_vit.Preprocessing(image_size=32)
    )
    keras_vit.save(model, tmp_path / "start", format="timm")
    command = (
        *("train", "--data", tmp_path / "photos", "--weights", tmp_path / "start"),
        *("--output", tmp_path / "head"),
    )
    code, out, err = call(capsys, *command)
    assert code == 0, err
    assert "head on pooled" in out and "nearest pictures" in out and "accuracy" in out
    names = {path.name for path in (tmp_path / "head").iterdir()}
    assert names == {"model.keras", "head.json", "pictures.npz", "README.md"}
    card = (tmp_path / "head" / "README.md").read_text()
    assert "logistic regression on pooled" in card and "--weights" in card
    assert call(capsys, "evaluate", tmp_path / "head", "--data", tmp_path / "photos")
    code, _, err = call(capsys, *command)
    assert code == 2 and "--overwrite" in err
    setting = ("--set", "class_weight=balanced")
    code, out, err = call(capsys, *command, *setting, "--overwrite", "--json")
    assert code == 0 and json.loads(out)["head"]["num_computed"] == 0, err


def test_pretrained_recipes_train_on_from_a_fitted_head(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    write_folder(tmp_path / "photos")
    model = keras_vit.ViT.from_variant(
        "test", num_classes=7, preprocessing=keras_vit.Preprocessing(image_size=32)
    )
    keras_vit.save(model, tmp_path / "start", format="timm")
    command = ("train", "--data", tmp_path / "photos", "--weights", tmp_path / "start")
    short = ("--epochs", 1, "--output", tmp_path / "tuned")
    code, out, err = call(capsys, *command, "--recipe", "photos_lora", *short)
    assert code == 0, err
    assert out.index("head on pooled") < out.index("run    1 epochs")
    again = ("train", "--data", tmp_path / "photos", "--weights", tmp_path / "tuned")
    code, out, err = call(capsys, *again, "--epochs", 1, "--output", tmp_path / "more")
    assert code == 0 and "head on" not in out, err
    card = (tmp_path / "more" / "README.md").read_text()
    assert "layer_decay=0.75" in card
    code, _, err = call(
        capsys,
        *(*command, "--recipe", "photos_lora", "--distribute", "mirrored"),
        *("--output", tmp_path / "several"),
    )
    assert code == 2 and "--recipe head" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs", 3), "received --epochs"),
        (("--set", "layer_decay=0.7"), "received --set layer_decay"),
        (("--dropout-rate", 0.1), "received --dropout-rate"),
        (("--distribute", "auto"), "received --distribute"),
        ((), "Pass --weights"),
    ],
)
def test_a_head_refuses_what_it_does_not_read(tmp_path, capsys, options, message):
    code, _, err = call(
        capsys,
        *("train", "--data", "digits", "--recipe", "head", *options),
        *("--output", tmp_path / "new"),
    )
    assert code == 2 and message in err and not (tmp_path / "new").exists()


def test_train_takes_the_size_of_the_checkpoints_own_preprocessing(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    model = keras_vit.ViT.from_variant(
        "test", num_classes=7, preprocessing=keras_vit.Preprocessing(image_size=32)
    )
    keras_vit.save(model, tmp_path / "start", format="timm")
    path = tmp_path / "start" / "config.json"
    config = json.loads(path.read_text())
    config["model_args"] = {"img_size": 32, **(config.get("model_args") or {})}
    config["pretrained_cfg"] |= {"input_size": [3, 16, 24]}
    path.write_text(json.dumps(config))
    assert keras_vit.load(tmp_path / "start").input_shape == (None, 32, 32, 3)
    for given, size in ([], (16, 24)), (["--image-size", "24x32"], (24, 32)):
        code, out, err = call(
            capsys,
            *("train", "--data", tmp_path / "photos", "--weights", tmp_path / "start"),
            *("--epochs", 1, "--output", tmp_path / "tuned", "--overwrite", *given),
        )
        assert code == 0, err
        assert ("preprocessing makes; its configuration says 32 x 32" in out) is (
            not given
        )
        tuned = keras_vit.load(tmp_path / "tuned")
        assert tuned.input_shape[1:3] == size == tuned.preprocessing.image_size


def test_list_shows_each_variant_with_its_size(capsys):
    code, out, _ = call(capsys, "list", "--json")
    rows = {row["variant"]: row for row in json.loads(out)}
    assert code == 0 and list(rows) == list(keras_vit.VARIANTS)
    assert rows["B/16"]["parameters"] == 86_567_656
    code, out, _ = call(capsys, "list")
    assert code == 0 and "86,567,656" in out


def test_info_describes_a_keras_model(trained, capsys):
    folder, report = trained
    code, out, _ = call(capsys, "info", folder, "--json")
    facts = json.loads(out)
    assert code == 0 and facts["parameters"] == report["parameters"]
    assert facts["preprocessing"]["image_size"] == [16, 16]
    code, out, _ = call(capsys, "info", folder)
    assert code == 0 and "class_names" in out


@pytest.mark.parametrize(
    "command", ["", "train", "evaluate", "predict", "export", "list", "info"]
)
def test_help_is_short_and_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as error:
        main([*command.split(), "--help"])
    out = capsys.readouterr().out
    assert error.value.code == 0
    assert "example: keras-vit" in out and len(out.splitlines()) < 90


def mistakes(folder):
    return {
        "no command": [],
        "unknown command": ["trian"],
        "no data": ["train", "--output", folder / "new"],
        "missing folder": [
            "train",
            "--data",
            folder / "no",
            "--output",
            folder / "new",
        ],
        "empty folder": [
            "train",
            "--data",
            folder / "empty",
            "--output",
            folder / "new",
        ],
        "one class": ["train", "--data", folder / "one", "--output", folder / "new"],
        "damaged": ["train", "--data", folder / "damaged", "--output", folder / "new"],
        "variant": [
            *("train", "--data", "digits", "--variant", "Z/9"),
            *("--output", folder / "new"),
        ],
        "heads": [
            *(
                "train",
                "--data",
                "digits",
                "--num-heads",
                7,
                "--output",
                folder / "new",
            ),
        ],
        "patch": [
            *("train", "--data", "digits", "--patch-size", 32),
            *("--output", folder / "new"),
        ],
        "recipe": [
            *("train", "--data", "digits", "--recipe", "x", "--output", folder / "new"),
        ],
        "epochs": [
            *("train", "--data", "digits", "--epochs", 0, "--output", folder / "new"),
        ],
        "output exists": ["train", "--data", "digits", "--output", folder / "one"],
        "output below a file": [
            *("train", "--data", "digits", "--output", folder / "file.txt" / "new"),
        ],
        "tfds": ["train", "--data", "tfds:no_such_set", "--output", folder / "new"],
        "missing model": ["evaluate", folder / "model.keras"],
        "no model": ["predict", folder / "file.txt", folder / "file.txt"],
        "empty model": ["info", folder / "empty"],
        "format": ["export", folder / "empty", "--format", "onnx"],
        "size": [
            "export",
            folder / "empty",
            "--format",
            "tflite",
            "--input-size",
            "axb",
        ],
    }


@pytest.mark.parametrize("name", list(mistakes(Path())))
def test_a_mistake_is_one_line_and_exit_code_2(name, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("text")
    write_folder(tmp_path / "one", 3, classes=1)
    write_folder(tmp_path / "damaged", 4)
    truncated_jpeg(tmp_path / "damaged" / "digit_0" / "half.jpg")
    try:
        code = main([str(argument) for argument in mistakes(tmp_path)[name]])
    except SystemExit as stop:  # argparse's own checks.
        code = stop.code
    captured = capsys.readouterr()
    [message] = captured.err.strip().splitlines()
    assert code == 2 and message.startswith("keras-vit") and "error: " in message
    assert "Traceback" not in captured.err and captured.out == ""
    assert not (tmp_path / "new").exists()


def test_a_mistake_in_a_process_of_its_own_shows_no_traceback(tmp_path):
    result = run("predict", tmp_path / "model.keras", tmp_path / "a.png")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "keras-vit: error: No image file" in result.stderr


def test_a_picture_that_cannot_be_read_is_named(trained, tmp_path, capsys):
    path = truncated_jpeg(tmp_path / "half.jpg")
    code, _, err = call(capsys, "predict", trained[0], path)
    assert code == 2 and "half.jpg" in err


@pytest.mark.parametrize("bad", ["half.jpg", "gone.jpg", "folder"])
def test_of_many_pictures_the_readable_ones_are_named(
    trained, picture, tmp_path, capsys, bad
):
    truncated_jpeg(tmp_path / "half.jpg")
    (tmp_path / "folder").mkdir()
    arguments = ["predict", trained[0], picture, tmp_path / bad, picture]
    code, out, err = call(capsys, *arguments, "--top", 1)
    assert code == 3 and out.count(str(picture)) == 2 and bad not in out
    [line] = [line for line in err.splitlines() if "left out" in line]
    assert bad in line
    code, out, err = call(capsys, *arguments, "--json")
    assert code == 3 and list(json.loads(out)) == [str(picture)] and bad in err
    code, out, err = call(capsys, "predict", trained[0], *[tmp_path / "half.jpg"] * 2)
    assert code == 2 and not out and "None of the 2 pictures" in err


@ONE_BACKEND
def test_export_prints_what_each_part_costs_in_int8(trained, tmp_path, capsys):
    pictures = write_folder(tmp_path / "pictures", 12)
    arguments = ["export", trained[0], "--sensitivity", "--calibration", pictures]
    code, out, _ = call(capsys, *arguments)
    assert code == 0 and "| block_0/attention | " in out and "| SOFTMAX | " in out
    code, _, err = call(capsys, *arguments[:3])
    assert code == 2 and "Add --calibration" in err


def test_a_second_export_needs_overwrite(trained, tmp_path, capsys):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"former")
    arguments = ["export", trained[0], "--format", "litert", "--output", path]
    code, _, err = call(capsys, *arguments)
    assert code == 2 and "--overwrite" in err and path.read_bytes() == b"former"


def test_damaged_files_can_be_skipped(tmp_path, capsys):
    write_folder(tmp_path / "photos")
    truncated_jpeg(tmp_path / "photos" / "digit_0" / "half.jpg")
    with pytest.warns(UserWarning, match="1 of 41 image files"):
        code, out, _ = call(
            capsys,
            *("train", "--data", tmp_path / "photos", "--variant", "test"),
            *("--epochs", 1, "--output", tmp_path / "model", "--skip-unreadable"),
        )
    assert code == 0 and "32 train" in out
