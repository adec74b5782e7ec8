"""Find out what a source is, by what is in it, and open it."""

from __future__ import annotations

from pathlib import Path

from keras_vit.checkpoints.authors.open import (
    needs_architecture,
    open_authors_file,
    own_architecture,
)
from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.files.json import read_json
from keras_vit.checkpoints.files.pickle import read_pickle
from keras_vit.checkpoints.files.safetensors import SafetensorsFile, read_shards
from keras_vit.checkpoints.files.weight_files import (
    PICKLES,
    PREFERRED,
    choose_weights,
    is_index,
)
from keras_vit.checkpoints.files.wrappers import plain_arrays
from keras_vit.checkpoints.google.open import open_npz
from keras_vit.checkpoints.huggingface.open import (
    is_huggingface,
    open_huggingface,
)
from keras_vit.checkpoints.keras_hub.open import is_keras_hub, open_keras_hub
from keras_vit.checkpoints.refusals import (
    describe_file,
    describe_folder,
    is_adapter,
)
from keras_vit.checkpoints.timm.open import is_timm, open_timm

# What values of another type raise where they are used.
_WRONG_VALUES = (KeyError, TypeError, AttributeError, IndexError, ArithmeticError)


def open_checkpoint(path: str | Path, architecture: str | None = None) -> Checkpoint:
    """Describe the checkpoint in a folder or file, without building a model.

    Args:
        path: a folder with `config.json` and weights, or a weight file.
        architecture: timm name of what a weight file of its authors holds, which is
            then not looked up in a `config.json`. Default None: it is.

    Raises:
        FileNotFoundError: if there is nothing at the path.
        ValueError: if the format is unknown or the files are damaged.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"No checkpoint {str(path)!r}. Check the path.")
    if is_adapter(path):
        raise ValueError(describe_folder(path))
    if path.suffix == ".npz" and architecture is None:
        return open_npz(path)
    if architecture is not None:
        return open_authors_file(path, architecture, open_arrays(path))
    folder = path if path.is_dir() else path.parent
    config = read_json(folder / "config.json")
    if config is None and (folder / "model.npz").is_file():
        return open_npz(folder / "model.npz")
    if config is None:
        return _open_alone(path)
    if is_keras_hub(config):
        return open_keras_hub(folder, config)
    for is_known, open_known in (
        (is_timm, open_timm),
        (is_huggingface, open_huggingface),
    ):
        if is_known(config):
            arrays = open_arrays(path)
            try:
                return open_known(folder, config, arrays)
            except _WRONG_VALUES as error:
                raise ValueError(
                    f"The config.json in {str(folder)!r} must hold what its library "
                    f"writes, received a value that cannot be used "
                    f"({type(error).__name__}: {error}). Download it again."
                ) from error
    raise ValueError(
        f"The config.json in {str(folder)!r} is of no format that keras_vit knows: its "
        f"keys are {sorted(config)[:12]}. Known are those of timm and transformers."
    )


def _open_alone(path: Path) -> Checkpoint:
    """Open weights without a configuration that say themselves what they are.

    Raises:
        ValueError: if they do not; the message says what to pass.
    """
    if path.is_dir() and not _weights_in(path):
        raise ValueError(
            describe_folder(path)
            or f"{str(path)!r} must be a checkpoint, received a folder with no "
            "config.json and no weights. Check the path."
        )
    arrays = open_arrays(path)
    architecture = own_architecture(arrays)
    if architecture is None:
        raise ValueError(needs_architecture(path, arrays))
    return open_authors_file(path, architecture, arrays)


def _weights_in(folder: Path) -> Path | None:
    names = (path.name for path in folder.iterdir() if path.is_file())
    name = choose_weights(names, str(folder))
    return folder / name if name else None


def open_arrays(path: Path) -> Arrays:
    """Return the arrays of a weight file, or of the one in a folder.

    Names are those of the model itself, without what wrappers of modules put into them.

    Raises:
        FileNotFoundError: if a folder holds no weights.
        ImportError: if torch is needed and not installed.
        ValueError: if the file is damaged or of an unknown kind.
    """
    if path.is_dir():
        file = _weights_in(path)
        if file is None:
            raise FileNotFoundError(
                describe_folder(path)
                or f"No weights in {str(path)!r}: no {list(PREFERRED)}, and no other "
                "file of weights. Download them, too."
            )
        path = file
    arrays = read_shards(path, _open_file) if is_index(path.name) else _open_file(path)
    return plain_arrays(arrays, str(path))


def _open_file(path: Path) -> Arrays:
    refusal = describe_file(path)
    if path.suffix == ".safetensors" and refusal is None:
        return SafetensorsFile(path)
    if path.suffix in PICKLES and refusal is None:
        return read_pickle(path)
    raise ValueError(
        refusal
        or f"Weights are a .safetensors file or one of torch, {list(PICKLES)}, "
        f"received {str(path)!r}. Save model.state_dict() with torch.save."
    )
