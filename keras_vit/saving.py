"""Write a model for another library, or push it to the hub."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import keras

from keras_vit.checkpoints.google.write import write_npz
from keras_vit.checkpoints.huggingface.write import write_huggingface
from keras_vit.checkpoints.timm.write import write_timm
from keras_vit.files import check_replaceable, check_writable, replacing
from keras_vit.keras_file import save_keras
from keras_vit.model import ViT
from keras_vit.model_copy import plain_copy

# What a folder of `save` holds, in any of its formats.
OWN_FILES = (
    *("model.keras", "config.json", "model.safetensors"),
    *("preprocessor_config.json", "model.npz"),
)
SaveFormat = Literal["keras", "timm", "huggingface", "npz"]


def save(
    model: keras.Model,
    path: str | Path,
    format: SaveFormat = "keras",
    *,
    overwrite: bool = False,
) -> Path:
    """Write a model with config, preprocessing and class names, without its optimizer.

    Args:
        model: a `keras_vit.ViT`; with LoRA factors the sum is written. A `.keras` file
            takes any functional Keras model.
        path: folder to make, or a file that ends in `.keras`; it appears when it is
            complete.
        format: of the folder: "keras" (default), `model.keras`, with everything;
            "timm", which `timm.create_model("local-dir:FOLDER", pretrained=True)`
            builds; "huggingface", which transformers' `from_pretrained(FOLDER)` builds;
            or "npz", `model.npz` for Google's code, which holds arrays alone.
        overwrite: whether a former model at `path` is replaced. Default False.

    Returns:
        The path.

    Raises:
        FileExistsError: if the path exists and `overwrite` is not set, or is a folder
            that holds anything else than a model of ours.
        OSError: if the disk is full or the place cannot be written.
        TypeError: if a folder is asked for and the model is no `keras_vit.ViT`.
        ValueError: if the format is unknown or cannot express the model; the message
            names the options.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        print(keras_vit.save(model, "photos.keras"))  # photos.keras
        folder = keras_vit.save(model, "for_timm", "timm")
        sorted(path.name for path in folder.iterdir())
        # ['config.json', 'model.safetensors']
        ```
    """
    path = Path(path).expanduser()
    is_file = path.suffix == ".keras"
    _check_format(format, path)
    if not is_file and not isinstance(model, ViT):
        raise TypeError(
            "Only a keras_vit.ViT knows what it is made of, received "
            f"{type(model).__name__}. Save other models as a file that ends in .keras."
        )
    if format != "keras" and model.config.rejection_dim is not None:
        raise ValueError(
            f"format={format!r} has no output for pictures of none of the classes, "
            f"received a model with rejection_dim={model.config.rejection_dim}. Use "
            "format='keras', or save keras_vit.changed(model, rejection_dim=None)."
        )
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{str(path)!r} exists. Choose another path, or replace it with "
            "overwrite=True."
        )
    check_replaceable(path, () if is_file else OWN_FILES)
    check_writable(path.parent, required_bytes=4 * model.count_params())
    if format != "keras" and getattr(model, "thresholds", None) is not None:
        raise ValueError(
            f"The format {format!r} cannot express model.thresholds, with which each "
            "class is a yes or no of its own. Use format='keras', or set them to None "
            "and keep them yourself."
        )
    if any("/lora_" in weight.path for weight in model.weights):
        model = plain_copy(model)
    if is_file:
        save_keras(model, path)
        return path
    with replacing(path) as temporary:
        temporary.mkdir()
        _WRITERS[format](model, temporary)
    return path


def _check_format(format: str, path: Path) -> None:
    if format not in get_args(SaveFormat):
        raise ValueError(
            f"format must be one of {list(get_args(SaveFormat))}, received {format!r}."
        )
    if path.suffix == ".keras" and format != "keras":
        raise ValueError(
            f"A file that ends in .keras has the format 'keras', received {format!r} "
            f"for {str(path)!r}. Pass a folder."
        )


def push_to_hub(
    model: ViT,
    repo_id: str,
    format: SaveFormat = "timm",
    *,
    private: bool = False,
    revision: str | None = None,
    commit_message: str = "Add model",
    token: str | None = None,
) -> str:
    """Write a model and upload it to the Hugging Face hub.

    Args:
        model: a `keras_vit.ViT`.
        repo_id: "owner/name"; made if it does not exist.
        format: see `save`. Default "timm".
        private: whether a new repository is private. Default False.
        revision: branch to push to. Default: the main branch.
        commit_message: of the commit. Default "Add model".
        token: of the user. Default: the one that `hf auth login` stored.

    Returns:
        The address of the commit.

    Raises:
        ImportError: if huggingface_hub is not installed.
        OSError: if the hub cannot be reached or refuses the upload.
        ValueError: if the format cannot express the model.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        keras_vit.push_to_hub(model, "me/photos", private=True)
        # 'https://huggingface.co/me/photos/commit/...'
        ```
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "huggingface_hub is needed to push a model. Install it with "
            "pip install 'keras3-vit[hub]'."
        ) from error
    with tempfile.TemporaryDirectory() as temporary:
        folder = save(model, Path(temporary, "model"), format)
        api = huggingface_hub.HfApi(token=token)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            info = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                revision=revision,
                commit_message=commit_message,
            )
        except ValueError:  # The name of the repository; says so itself.
            raise
        except Exception as error:  # The types depend on the hub's version.
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            raise OSError(
                f"The model could not be pushed to {repo_id!r} on the Hugging Face "
                f"hub: {reason} Check the network, log in with `hf auth login` and "
                "check that the account may write there. keras_vit.save writes the "
                "same files to a folder."
            ) from error
    return str(info.commit_url)


def _write_keras(model: ViT, folder: Path) -> None:
    save_keras(model, folder / "model.keras")


_WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "keras": _write_keras,
    "timm": write_timm,
    "huggingface": write_huggingface,
    "npz": write_npz,
}
