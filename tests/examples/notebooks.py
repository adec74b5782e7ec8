"""The notebooks of examples/notebooks/, executed as Jupyter does, without a network."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from PIL import Image

import keras_vit
from tests.checkpoints.fake_hub import serve
from tests.pictures import digit_pictures

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "notebooks"
WEIGHTS = "facebook/dinov2-small"  # the name that notebooks load
TIMEOUT = 600  # seconds of a cell
WIDEST = 480  # pixels of a picture that is kept in a file
PNG, JPEG = "image/png", "image/jpeg"
KAGGLE = "3_kaggle"  # the notebook that runs in folders like Kaggle's
CLASSES = ("nil", "one", "two")
# What no Python of an environment without a network may do.
NO_NETWORK = """
import socket

def connect(self, address, _connect=socket.socket.connect):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
        raise OSError(f"there is no network, asked for {address}")
    return _connect(self, address)

socket.socket.connect = connect
"""


class Ran(NamedTuple):
    """An executed notebook.

    Args:
        notebook: with its outputs.
        seconds: that it took, with the start of its kernel.
    """

    notebook: Any
    seconds: float


def sources() -> list[Path]:
    """Return the .py file of each notebook."""
    return sorted(FOLDER.glob("*.py"))


def small_weights(folder: Path) -> Path:
    """Write a checkpoint in the shape of DINOv2 with random weights, and return it.

    Its width is at least the 28 filters that notebook 4 shows.
    """
    keras.utils.set_random_seed(0)
    model = keras_vit.ViT(
        **{"image_size": 224, "patch_size": 14, "num_classes": None},
        **{"hidden_dim": 32, "num_layers": 12, "num_heads": 2, "mlp_dim": 64},
        **{"layer_scale": 1.0, "resampling": "bicubic"},
        preprocessing=keras_vit.Preprocessing(
            image_size=224,
            crop_ratio=0.875,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        ),
    )
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    return keras_vit.save(model, folder, format="huggingface")


def execute(source: Path, folder: Path, *, weights: Path | None = None) -> Ran:
    """Execute the notebook of a .py file in a folder, and raise what a cell raises.

    Args:
        source: in jupytext's percent format.
        folder: an empty one.
        weights: what the hub on loopback gives as `WEIGHTS`, and Kaggle as an input.
            Default: random ones.
    """
    weights = weights or small_weights(folder / "weights" / "dinov2")
    if source.stem == KAGGLE:
        return _execute_on_kaggle(source, folder, weights)
    with serve({WEIGHTS: weights}) as hub:
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        work = folder / "work"
        work.mkdir()
        return _execute(source, work, folder, HF_ENDPOINT=hub.url, PYTHONPATH=paths)


def _execute_on_kaggle(source: Path, folder: Path, weights: Path) -> Ran:
    """Execute where there is no network and nothing of this package but a wheel."""
    root = folder / "kaggle"
    write_kaggle(root, weights)
    environment = {"KAGGLE_ROOT": str(root), "PYTHONPATH": ""}
    return _execute(
        source,
        root / "working",
        folder,
        python=environment_without_package(folder / "environment"),
        **environment,
    )


def _execute(
    source: Path,
    work: Path,
    folder: Path,
    *,
    python: Path | None = None,
    **environment: str,
) -> Ran:
    import jupytext
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient

    notebook = jupytext.read(source)
    place = {"metadata": {"path": str(work)}}
    client = NotebookClient(notebook, timeout=TIMEOUT, resources=place)
    manager = client.create_kernel_manager()
    # None of this machine, but this Python.
    manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
    if python is not None:
        manager.kernel_spec.argv[0] = str(python)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    start = time.perf_counter()
    client.execute(
        env={
            **inherited,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "IPYTHONDIR": str(folder / "ipython"),
            "HF_HOME": str(folder / "hub"),
            "KERAS_VIT_CACHE": str(folder / "cache"),
            **environment,
        }
    )
    return Ran(notebook, time.perf_counter() - start)


def write_kaggle(root: Path, weights: Path) -> None:
    """Write the folders of Kaggle: inputs with a competition, wheels and weights."""
    competition = root / "input" / "competitions" / "digits"
    rows, sample = [], []
    for number, (picture, label) in enumerate(digit_pictures(90, len(CLASSES))):
        part = "test" if number % 3 == 2 else "train"
        name = f"{number:03d}"
        path = competition / part / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.resize((32, 32)).save(path)
        if part == "train":
            rows.append((name, CLASSES[label]))
        else:
            sample.append((name, 0, 0, 0))
    for name, header, lines in (
        ("train.csv", ("image_id", "label"), rows),
        ("sample_submission.csv", ("id", *CLASSES), sample),
    ):
        with (competition / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    models = root / "input" / "models" / "metaresearch" / "dinov2" / "pytorch"
    shutil.copytree(weights, models / "small" / "1")
    build_wheel(root / "input" / "datasets" / "me" / "wheels")
    (root / "working").mkdir()


def build_wheel(folder: Path) -> None:
    """Build the wheel of this package into a folder, with what is installed here."""
    folder.mkdir(parents=True)
    source = folder.parent / "source"
    shutil.copytree(
        Path(keras_vit.__file__).parent,
        source / "keras_vit",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    options = ["--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*command, *options, str(source)], check=True)
    shutil.rmtree(source)


def environment_without_package(folder: Path) -> Path:
    """Make an environment with what this one has, but this package; return its Python.

    It is this environment through links: what is installed into it stays there. It has
    no network.
    """
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    linked = folder / "linked"
    linked.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not path.name.lower().startswith(("keras3_vit", "__editable__")):
            (linked / path.name).symlink_to(path)
    (linked / "sitecustomize.py").unlink(missing_ok=True)
    (linked / "sitecustomize.py").write_text(NO_NETWORK)
    [own] = folder.glob("lib/python*/site-packages")
    (own / "here.pth").write_text(f"{linked}\n")
    return python


def cells(notebook: Any) -> list[tuple[str, str]]:
    """Return kind and text of each cell."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def as_file(notebook: Any) -> str:
    """Return the text of an .ipynb: small pictures, and nothing that is never equal."""
    import nbformat

    kept = nbformat.from_dict(notebook)
    kept.metadata.pop("widgets", None)
    kept.metadata.get("language_info", {}).pop("version", None)
    for number, cell in enumerate(kept.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        # What libraries say of a machine is none of the reader's business.
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            _shrink(output.get("data", {}))
            if "text" in output:
                output.text = _as_on_a_screen(output.text)
    return nbformat.writes(kept) + "\n"


def _as_on_a_screen(text: str) -> str:
    """Return what a reader needs: lines as they end, without notes of TensorFlow."""
    return re.sub(r"^[^\n]*\r(?!\n)|^WARNING:tensorflow.*\n", "", text, flags=re.M)


def _shrink(data: dict[str, Any]) -> None:
    """Keep one small picture of an output: PNG for few colours, else JPEG."""
    given = data.pop(JPEG, None)  # Pillow's images come as both.
    given = data.pop(PNG, given)
    if given is None:
        return
    image = Image.open(io.BytesIO(base64.b64decode(given))).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
    image.thumbnail((WIDEST, 2 * WIDEST))
    written = {}
    for kind, shown in ((PNG, image.quantize(64)), (JPEG, image)):
        file = io.BytesIO()
        shown.save(file, kind.removeprefix("image/"), optimize=True, quality=80)
        written[kind] = file.getvalue()
    kind = min(written, key=lambda one: len(written[one]))
    data[kind] = base64.b64encode(written[kind]).decode()
