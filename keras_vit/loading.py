"""Build a model from a checkpoint of any format."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import read_values
from keras_vit.checkpoints.hub import find_source, named_architecture
from keras_vit.checkpoints.open import open_checkpoint
from keras_vit.checkpoints.resample import Resampling
from keras_vit.checkpoints.timm.config import config_from_timm
from keras_vit.config import ViTConfig
from keras_vit.config.options import check_names
from keras_vit.keras_file import load_keras
from keras_vit.keras_internals import initialize, unallocated
from keras_vit.model import ViT
from keras_vit.reading_plan import file_and_model, reading_plan
from keras_vit.surgery import changed
from keras_vit.weight_fitting import changed_config, fitted, fitted_preprocessing

OWN_SIZE = "preprocessing"  # a value of image_size
_MODEL_OPTIONS = ("dtype", "name", "preprocessing", "class_names", "trainable")


def load(
    source: str | Path,
    *,
    architecture: str | None = None,
    revision: str | None = None,
    pretrained: bool = True,
    **changes: Any,
) -> ViT:
    """Build the model of a checkpoint and give it the weights.

    Strict: each array is used once and each weight is set, apart from what a change
    leaves out or begins anew, which is said in a warning unless it is the classifier
    of a new `num_classes`. An option that says what the file already is, such as
    `num_registers=4` for a file with four, reads what is there.

    Args:
        source: one of
            a timm name with or without tag ("vit_base_patch16_224.augreg_in21k"), see
            `list_models`;
            a hub id ("google/vit-base-patch16-224", "timm/..."), through
            huggingface_hub with its cache and offline mode (extra `hub`);
            a folder with `config.json` and weights, as timm, transformers and KerasHub
            write it;
            a `.safetensors` file or one of torch (`.bin`, `.pth`, `.pt`, `.ckpt`,
            `.pth.tar`) beside its `config.json`, or with `architecture`; a Google
            `.npz`; a `.keras` file or a folder with it.
        architecture: timm name, with or without tag, of the model in a file of weights
            without `config.json`, as its authors publish it or a training script of
            your own wrote it: "dino_deitsmall16.pth" is a
            "vit_small_patch16_224.dino". Preprocessing is that of the tag; without a
            tag there is none, unless all tags agree. Default None: a file or folder
            says itself what it holds.
        revision: branch, tag or commit of a hub repository. Default: its main branch.
        pretrained: False builds the architecture of a timm name with new weights,
            without network. Default True.
        **changes: options of `ViT` that differ from the checkpoint: `num_classes` (a
            new head; None: none), `image_size` (positions are resampled with the
            kernel of the checkpoint's authors; None: inside the model, for images of
            any size; "preprocessing": that of the pictures which the checkpoint's own
            preprocessing makes, 224 pixels for a DINOv2 whose positions are for 518,
            and that of the model where it says none), `position_grid` (what positions
            of the file belong to, if nothing else says it), `patch_size` (kernel by
            FlexiViT's pseudo-inverse), `channels` (as timm adapts them), `pooling`,
            rates, `dtype`, `name`.

    Returns:
        The model, a new `ViT` with the weights, `preprocessing` and `class_names` of
        the checkpoint, as far as it says them.

    Raises:
        FileNotFoundError: if there is nothing at the source.
        ImportError: if the package that a source needs is not installed.
        OSError: if the hub cannot be reached or refuses the repository.
        TypeError: if an option does not exist.
        ValueError: if the checkpoint is damaged, of an unknown kind, or does not match
            its configuration; nothing is half loaded.

    Example:
        ```python
        # A backbone by its name on the hub, and a model of your own.
        backbone = keras_vit.load("facebook/dinov2-small", image_size="preprocessing")
        model = keras_vit.load("saved_models/photos")
        model.class_names  # ('cat', 'dog')
        ```
    """
    check_names(ViTConfig, changes, *_MODEL_OPTIONS)
    if not pretrained:
        _pop_own_size(changes)
        architecture = str(source).partition(".")[0]
        options = {k: changes.pop(k) for k in _MODEL_OPTIONS if k in changes}
        config = changed_config(config_from_timm(architecture), changes)
        return ViT(**asdict(config), **options)
    path = find_source(source, revision)
    if is_own_model(path) and architecture is None:
        _pop_own_size(changes)
        return _own_model(path, changes)
    architecture = architecture or named_architecture(source, path)
    return build(open_checkpoint(path, architecture), **changes)


def is_own_model(path: Path) -> bool:
    """Return whether a file or folder holds a `.keras` model."""
    return path.suffix == ".keras" or (path / "model.keras").is_file()


def own_size_note(checkpoint: Checkpoint) -> str | None:
    """Return what `image_size="preprocessing"` changes, for people; None if nothing."""
    wanted, size = _own_size(checkpoint), _model_size(checkpoint)
    if wanted is None or size is None or wanted == size:
        return None
    (height, width), (rows, columns) = wanted, size
    resampled = ""
    if checkpoint.config.has_learned_positions:
        resampled = ", so that its positions are resampled"
    return (
        f"{height} x {width} pixels, which the checkpoint's own preprocessing makes; "
        f"its configuration says {rows} x {columns}{resampled}"
    )


def _pop_own_size(changes: dict[str, Any]) -> bool:
    """Take `image_size="preprocessing"` out, and tell whether it was there."""
    is_there = changes.get("image_size") == OWN_SIZE
    if is_there:
        del changes["image_size"]
    return is_there


def _own_size(checkpoint: Checkpoint) -> tuple[int, int] | None:
    own = checkpoint.own_preprocessing
    return None if own is None else own.image_size


def _model_size(checkpoint: Checkpoint) -> tuple[int, int] | None:
    return checkpoint.image_size or checkpoint.config.image_size


def _own_model(path: Path, changes: dict[str, Any]) -> ViT:
    """Load a model of ours, with some options changed."""
    file = path / "model.keras" if path.is_dir() else path
    model: Any = load_keras(file)
    if not isinstance(model, ViT):
        raise ValueError(
            f"{str(file)!r} holds a {type(model).__name__}, not a keras_vit.ViT. Load "
            "it with keras.models.load_model."
        )
    return changed(model, **changes) if changes else model


def build(checkpoint: Checkpoint, **changes: Any) -> ViT:
    """Build the model of an opened checkpoint; see `load`."""
    options = {k: changes.pop(k) for k in _MODEL_OPTIONS if k in changes}
    own_size, model_size = _own_size(checkpoint), _model_size(checkpoint)
    wants_own = _pop_own_size(changes)
    if wants_own and None not in (own_size, model_size) and own_size != model_size:
        changes["image_size"] = own_size
    old, new = file_and_model(checkpoint, changes)
    # At its own size exactly; elsewhere, the proportion of crop and image is kept.
    takes_own = new.image_size == own_size or (wants_own and new.image_size is None)
    is_own = own_size is not None and takes_own
    stated = checkpoint.own_preprocessing if is_own else checkpoint.preprocessing
    preprocessing = fitted_preprocessing(stated, new)
    options.setdefault("preprocessing", preprocessing)
    with unallocated():
        model = ViT(**asdict(new), **options)
    entries = checkpoint.entries(old)
    shapes = {weight.path: tuple(weight.shape) for weight in model.weights}
    plan = reading_plan(checkpoint, entries, shapes, new, changes)
    resampling = Resampling.named(new.resampling)
    values = read_values(
        model,
        entries,
        checkpoint.arrays,
        source=checkpoint.source,
        is_ignored=lambda name: name in plan.dropped or checkpoint.is_ignored(name),
        convert=lambda path, value: fitted(path, value, old, new, resampling),
        is_new=lambda path: path.startswith(plan.new),
    )
    initialize(model, values)
    names = checkpoint.class_names or ()
    has_classes = len(names) == new.num_classes and "head/logits" not in plan.new
    if has_classes and "class_names" not in options:
        model.class_names = names
    return model
