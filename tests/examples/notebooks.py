"""The notebooks of examples/notebooks/, executed as Jupyter does, without a network."""

from __future__ import annotations

import base64
import io
import os
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from PIL import Image

import keras_vit
from tests.checkpoints.fake_hub import serve

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "notebooks"
WEIGHTS = "facebook/dinov2-small"  # the name that notebooks load
TIMEOUT = 600  # seconds of a cell
WIDEST = 640  # pixels of a picture that is kept in a file
PNG, JPEG = "image/png", "image/jpeg"


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
    """Write a checkpoint in the shape of DINOv2 with random weights, and return it."""
    keras.utils.set_random_seed(0)
    model = keras_vit.ViT(
        **{"image_size": 518, "patch_size": 14, "num_classes": None},
        **{"hidden_dim": 24, "num_layers": 12, "num_heads": 2, "mlp_dim": 96},
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


def execute(
    source: Path,
    folder: Path,
    *,
    weights: Path | None = None,
    kernels: Path | None = None,
    **environment: str,
) -> Ran:
    """Execute the notebook of a .py file in a folder, and raise what a cell raises.

    Args:
        source: in jupytext's percent format.
        folder: the working directory, and the place of caches.
        weights: what the hub on loopback gives as `WEIGHTS`. Default: it has nothing.
        kernels: folder that holds `kernels/python3`. Default: this Python.
        **environment: of the kernel, besides that of this process.
    """
    import jupytext
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = jupytext.read(source)
    manager = AsyncKernelManager(kernel_name="python3")
    if kernels is not None:
        found = KernelSpecManager(
            kernel_dirs=[str(kernels)], ensure_native_kernel=False
        )
        manager.kernel_spec_manager = found
    client = NotebookClient(
        notebook, km=manager, timeout=TIMEOUT, resources={"metadata": {"path": folder}}
    )
    with ExitStack() as stack:
        held = {} if weights is None else {WEIGHTS: weights}
        hub = stack.enter_context(serve(held))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        start = time.perf_counter()
        client.execute(
            env={
                **inherited,
                "HF_ENDPOINT": hub.url,
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "IPYTHONDIR": str(folder / ".ipython"),
                "HF_HOME": str(folder / ".hub"),
                "KERAS_VIT_CACHE": str(folder / ".cache"),
                "PYTHONPATH": os.pathsep.join(
                    filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
                ),
                **environment,
            }
        )
        return Ran(notebook, time.perf_counter() - start)


def cells(notebook: Any) -> list[tuple[str, str]]:
    """Return kind and text of each cell."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def text_of(notebook: Any) -> str:
    """Return all that the cells printed or showed as text."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            found.append(output.get("text", ""))
            found.append(output.get("data", {}).get("text/plain", ""))
    return "\n".join(found)


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
    """Return what stands there after each carriage return has begun its line anew."""
    return re.sub(r"^[^\n]*\r(?!\n)", "", text, flags=re.MULTILINE)


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
