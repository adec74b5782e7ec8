"""Write a page that classifies pictures in the browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_vit.exporting.attention_map import has_attention_map
from keras_vit.exporting.export import export
from keras_vit.exporting.quantizations import FLOAT32, QUANTIZATIONS
from keras_vit.files import replacing
from keras_vit.inference.predictor import find_model
from keras_vit.keras_file import load_keras
from keras_vit.metadata import read_metadata
from keras_vit.preprocessing import Preprocessing
from keras_vit.web.examples import FOLDER as EXAMPLES
from keras_vit.web.examples import write_examples
from keras_vit.web.runtime import write_runtime
from keras_vit.web.settings import check_page_model, page_settings

PAGE_FOLDER = Path(__file__).with_name("page")
SETTINGS_FILE = "model.json"
MODEL_FILE = "model.tflite"
DEFAULT_TITLE = "Image classifier"


def write_demo(
    model: keras.Model | str | Path,
    output: str | Path,
    *,
    title: str | None = None,
    quantization: str | None = None,
    calibration: Sequence[Any] | str | Path | None = None,
    attention: bool | None = None,
    images: Sequence[Any] | str | Path | None = None,
    examples: Sequence[Any] = (),
    overwrite: bool = False,
) -> Path:
    """Write a folder with a page that runs a model in the browser.

    Any static server can serve it; nothing is fetched from elsewhere and pictures stay
    on the device. The page takes a dropped, pasted or chosen picture or the camera's,
    resizes and normalizes it with the numbers of `model.preprocessing`, and shows the
    five most likely classes; of a model for several classes per picture it says which
    are there, or that none is, and marks the threshold of each. LiteRT for browsers
    comes from npm, once, here.

    Args:
        model: a Keras model; the path of a `.keras` file or of an output folder of
            `train`; or a `.tflite` file that `export` wrote for one picture at a time.
        output: folder to write.
        title: heading of the page. Default: the name of the model's file or folder.
        quantization: as in `export`; "dynamic_int8" is four times smaller than the
            default, float32.
        calibration: as in `export`.
        attention: whether the page shows where the model looked; as in `export`.
            Default None: where the model and the quantization have a map of it.
        images: pictures to verify the export on, as in `export`. Default: digits.
        examples: up to six pictures (paths, PIL images or arrays) that become a part
            of the page, to try it with: whoever visits it can copy them. Two or three
            are best. They are made small and lose their names. Default: none.
        overwrite: whether a former page is replaced; other files in its folder, of a
            web host for example, are kept. Default False.

    Returns:
        The folder.

    Raises:
        FileExistsError: if `output` exists and `overwrite` is not set, or it is
            something else than a page.
        FileNotFoundError: if there is no model, or npm is not installed.
        RuntimeError: if the export or npm fails.
        ValueError: if an option or the model does not fit.

    Example:
        ```python
        # photos.tflite is a file that export wrote; a model or a run does as well.
        print(keras_vit.write_demo("photos.tflite", "page", examples=["cat.jpg"]))
        # page
        ```
    """
    output = Path(output).expanduser()
    _check_output(output, overwrite)
    options = {
        "quantization": quantization,
        "calibration": calibration,
        "attention": attention,
        "images": images,
    }
    source = model if isinstance(model, keras.Model) else find_model(model)
    opened = _open(source, options)
    with replacing(output) as folder:
        shutil.copytree(PAGE_FOLDER, folder)
        # Before the export, which takes longer and would be lost if npm fails.
        write_runtime(folder / "litert")
        if isinstance(opened, Path):
            shutil.copyfile(opened, folder / MODEL_FILE)
        else:
            target = folder / MODEL_FILE
            if attention is None:
                options["attention"] = _has_map(opened, quantization)
            export(opened, target, format="litert", report=False, **options)
        settings = page_settings(folder / MODEL_FILE, title or _title(source))
        steps = Preprocessing(**read_metadata(folder / MODEL_FILE)["preprocessing"])
        settings["examples"] = write_examples(examples, steps, folder)
        text = json.dumps(settings, indent=1) + "\n"
        (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")
        _keep_others(output, folder)
    return output


def _open(source: keras.Model | Path, options: dict[str, Any]) -> keras.Model | Path:
    """Return the model, or the path of a finished file that the page can run."""
    if isinstance(source, keras.Model):
        check_page_model(source)
        return source
    if source.suffix == ".keras":
        return _open(load_keras(source), options)
    if source.suffix != ".tflite":
        raise ValueError(
            "The page runs a .keras or .tflite file, received "
            f"{str(source)!r}. Pass the .keras file that it was made from."
        )
    given = [k for k, v in options.items() if v is not None and v is not False]
    if given:
        raise ValueError(
            f"{given} are for a Keras model, received the finished file "
            f"{str(source)!r}. Leave them out, or pass the .keras file."
        )
    page_settings(source, title="")
    return source


def _has_map(model: keras.Model, quantization: str | None) -> bool:
    row = QUANTIZATIONS.get(quantization or FLOAT32)
    if row is None or row.needs_calibration:  # `export` names what is unknown.
        return False
    return has_attention_map(getattr(model, "config", None))


def _title(source: keras.Model | Path) -> str:
    if isinstance(source, keras.Model):
        return DEFAULT_TITLE
    # The runs of train are all called model.keras.
    name = source.resolve().parent.name if source.stem == "model" else source.stem
    name = name.replace("_", " ").strip() or DEFAULT_TITLE
    return name[0].upper() + name[1:]


def _check_output(output: Path, overwrite: bool) -> None:
    if output.name in ("", ".."):
        raise ValueError(
            "output must be a folder with a name, which is put in its place when it is "
            f"complete, received output={str(output)!r}. Pass 'site', for example."
        )
    if not output.exists():
        return
    is_empty = output.is_dir() and not any(output.iterdir())
    # A folder of models may hold a model.json and a model.tflite, too.
    names = (SETTINGS_FILE, MODEL_FILE, "index.html", "litert/LICENSE")
    is_page = all((output / name).is_file() for name in names)
    if not (is_empty or is_page):
        raise FileExistsError(
            f"{str(output)!r} is no page of a former run, and is never replaced. "
            "Choose another folder."
        )
    if is_page and not overwrite:
        raise FileExistsError(
            f"{str(output)!r} exists. Choose another folder, or replace it with "
            "overwrite=True (--overwrite)."
        )


def _keep_others(former: Path, folder: Path) -> None:
    """Copy what stands beside a former page: `.git` or `CNAME` of a web host."""
    for path in former.iterdir() if former.is_dir() else ():
        target = folder / path.name
        # Examples of a former page are no longer meant to be seen.
        if target.exists() or path.name == EXAMPLES:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, target, symlinks=True)
        else:
            shutil.copy2(path, target, follow_symlinks=False)
