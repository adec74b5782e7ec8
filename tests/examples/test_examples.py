"""Each example runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.one_backend import ONE_BACKEND

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "name",
    [
        "own_model.py",
        "train_digits.py",
        pytest.param("mediapipe_classifier.py", marks=ONE_BACKEND),
    ],
)
def test_an_example_runs(name, tmp_path):
    command = [
        sys.executable,
        str(EXAMPLES / name),
        "--smoke",
        str(tmp_path / "model.tflite"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_each_example_is_run():
    (marked,) = test_an_example_runs.pytestmark
    names = [getattr(row, "values", (row,))[0] for row in marked.args[1]]
    kinds = ("grouped", "multi_label", "single_label")
    kaggle = [f"kaggle_{kind}.py" for kind in kinds]  # test_kaggle.py
    own = [path.name.removeprefix("test_") for path in Path(__file__).parent.glob("*")]
    others = [name for name in own if (EXAMPLES / name).exists()]  # test_mae.py
    found = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert sorted([*names, *kaggle, *others]) == found
