"""What a file or folder is that cannot be opened, and what to do with it instead."""

from __future__ import annotations

from pathlib import Path

# By the ending of a file; "{path}" becomes where it is.
_FILES = {
    ".weights.h5": (
        "holds weights without an architecture, as Keras writes them. Build the same "
        "model and use model.load_weights({path!r}); keras_vit.save keeps both"
    ),
    "tf_model.h5": (
        "holds weights of transformers for TensorFlow. Load it with a transformers "
        "that has TensorFlow (below 5), and save it with save_pretrained from torch"
    ),
    ".h5": (
        "holds a model or weights of Keras in HDF5. Load it with the code that wrote "
        "it, and save it with model.save('model.keras')"
    ),
    ".msgpack": (
        "holds weights of Flax. Load it with transformers (below 5, from_flax=True), "
        "and save it with save_pretrained"
    ),
    ".ckpt.index": (
        "is a checkpoint of TensorFlow. Load it with the code that wrote it, and save "
        "its arrays as .safetensors or .npz"
    ),
    ".gguf": (
        "holds quantized weights of llama.cpp. Use the checkpoint that it was made of"
    ),
    ".ot": "holds weights for Rust. Use the model.safetensors of the same model",
    ".msgpack.index.json": "lists weights of Flax. Use the model.safetensors beside it",
    **dict.fromkeys(
        (".tflite", ".onnx", ".pb", ".pt2", ".engine", ".mlpackage", ".stablehlo"),
        "is an exported model, which runs but cannot be trained or changed. Use "
        "keras_vit.predict with it, or load the model that it was exported from",
    ),
}


_LFS = b"version https://git-lfs.github.com/spec"


def describe_file(path: Path) -> str | None:
    """Return what a file is that is no checkpoint here, None if nothing is known."""
    for ending, text in _FILES.items():
        if path.name.endswith(ending):
            return f"{str(path)!r} {text.format(path=str(path))}."
    with path.open("rb") as file:
        start = file.read(len(_LFS))
    if start == _LFS:
        return (
            f"{str(path)!r} is a pointer of Git LFS, which stands for weights that "
            "were not downloaded. Run git lfs pull, or download the file itself."
        )
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return (
            f"{str(path)!r} is a web page, as servers send one in place of a file. "
            "Download the file again."
        )
    return None


def describe_folder(folder: Path) -> str | None:
    """Return what a folder holds that is no checkpoint, None if nothing is known."""
    if not folder.is_dir():
        return None
    if is_adapter(folder):
        return (
            f"{str(folder)!r} holds an adapter (LoRA) of PEFT without the model that "
            "it changes. Merge the two and load the result: peft.PeftModel"
            f".from_pretrained(base_model, {str(folder)!r}).merge_and_unload()"
            ".save_pretrained('merged')."
        )
    inner = _inner_checkpoints(folder)
    if inner:
        return (
            f"{str(folder)!r} holds no checkpoint itself, but {len(inner)} in folders "
            f"of it: {inner[:8]}. Pass one of them, such as "
            f"{str(folder / inner[-1])!r}."
        )
    names = sorted(path.name for path in folder.iterdir())
    if any(name.endswith(".distcp") for name in names):
        return (
            f"{str(folder)!r} is a distributed checkpoint of torch. Make it one file: "
            "torch.distributed.checkpoint.format_utils.dcp_to_torch_save(folder, "
            "'weights.pth')."
        )
    for ending, text in _FILES.items():
        for name in names:
            if name.endswith(ending):
                return f"{str(folder / name)!r} {text.format(path=str(folder / name))}."
    return None


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder changes a model that lies elsewhere."""
    return (folder / "adapter_config.json").is_file()


def _inner_checkpoints(folder: Path) -> list[str]:
    """Return the names of the folders below that hold a checkpoint, in their order."""
    marks = ("config.json", "model.keras", "adapter_config.json")
    found = [
        path.name
        for path in folder.iterdir()
        if path.is_dir() and any((path / mark).is_file() for mark in marks)
    ]
    return sorted(found, key=lambda name: (len(name), name))
