"""From what a user names to files on this machine, through the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_vit.checkpoints.timm_config import timm_table, unknown_architecture

# Weights in the order of preference; the first that a repository has is fetched.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "model.weights.h5",
    "pytorch_model.bin",
)
_SMALL_FILES = ("config.json", "preprocessor_config.json", "preprocessor.json")
_SMALL_FILES += ("task.json", "image_converter.json", "metadata.json")


def find_source(source: str | Path, revision: str | None = None) -> Path:
    """Return the local file or folder that `source` means, downloading it if need be.

    Args:
        source: a path; a timm name with or without tag; or a hub id, "owner/name",
            also with "hf-hub:" or "hf://" before it and "@revision" behind it.
        revision: branch, tag or commit of a hub repository. Default: the main branch.

    Raises:
        FileNotFoundError: if the source is a path where nothing is.
        ImportError: if huggingface_hub is needed and not installed.
        OSError: if the repository cannot be reached, is gated or does not exist.
        ValueError: if the name is unknown.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    name = str(source)
    for prefix in ("hf-hub:", "hf_hub:", "hf://", "timm:"):
        name = name.removeprefix(prefix)
    name, _, pinned = name.partition("@")
    return _download(_hub_id(name, str(source)), revision or pinned or None)


def _hub_id(name: str, source: str) -> str:
    table = timm_table()
    architecture, _, tag = name.partition(".")
    if architecture in table:
        configs = table[architecture]["pretrained"]
        tags = {config["tag"]: config.get("hub") for config in configs}
        if not tags:
            raise ValueError(
                f"Nobody has published weights of {architecture!r}. Build it with "
                f"load({architecture!r}, pretrained=False), or choose another of "
                "keras_vit.list_models()."
            )
        if tag and tag not in tags:
            raise ValueError(
                f"The tags of {architecture!r} are {list(tags)}, received {tag!r}."
            )
        hub = tags[tag] if tag else next(iter(tags.values()))
        if not hub:
            raise ValueError(
                f"The weights of {name!r} are on no hub. Download them from their "
                "authors and pass the path."
            )
        return hub
    is_path = name.startswith((".", "/", "~")) or name.count("/") != 1
    is_path = is_path or Path(name).suffix in _SUFFIXES
    if is_path and ("/" in name or "\\" in name or Path(name).suffix in _SUFFIXES):
        raise FileNotFoundError(
            f"No checkpoint {source!r}: there is no such file or folder. Check the "
            "path; hub ids look like 'google/vit-base-patch16-224'."
        )
    if is_path:
        raise ValueError(unknown_architecture(name))
    return name


_SUFFIXES = (".npz", ".safetensors", ".keras", ".bin", ".pth", ".pt", ".h5")


def _download(hub_id: str, revision: str | None) -> Path:
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise ImportError(
            f"huggingface_hub is needed to download {hub_id!r}. Install it with "
            "pip install 'keras3-vit[hub]', or pass a local folder."
        ) from error
    options: dict[str, Any] = {"repo_id": hub_id, "revision": revision}
    folder = None
    for file in _SMALL_FILES:
        found = _fetch(hub, options, file)
        folder = folder or (found and Path(found).parent)
    for file in _WEIGHTS:
        found = _fetch(hub, options, file)
        if found is None:
            continue
        if file.endswith(".index.json"):
            _fetch_shards(hub, options, Path(found))
        return Path(found).parent
    raise OSError(
        f"{hub_id!r} on the Hugging Face hub has none of the files {list(_WEIGHTS)}. "
        "Download its weights yourself and pass their path."
    )


def _fetch_shards(hub: Any, options: dict[str, Any], index: Path) -> None:
    import json

    for file in sorted(set(json.loads(index.read_text())["weight_map"].values())):
        _fetch(hub, options, file)


def _fetch(hub: Any, options: dict[str, Any], file: str) -> str | None:
    """Return the path of one file of a repository, None if it has none of that name."""
    errors = hub.errors
    advice = (
        "Download the files elsewhere and pass the folder with config.json and the "
        "weights, or set HF_HOME to a cache that has them."
    )
    name = options["repo_id"]
    try:
        return hub.hf_hub_download(filename=file, **options)
    except errors.LocalEntryNotFoundError as error:
        raise OSError(
            f"{name!r} is neither a local path nor in the cache of the Hugging Face "
            f"hub, and the hub could not be reached (tried {file}). {advice}"
        ) from error
    except errors.EntryNotFoundError:
        return None
    except errors.GatedRepoError as error:
        raise PermissionError(
            f"{name!r} is gated on the Hugging Face hub. Accept its terms at "
            f"https://huggingface.co/{name} and log in with `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"The Hugging Face hub has no repository {name!r}, or it is private. Check "
            "the name, or log in with `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(
            f"{name!r} has no revision {options['revision']!r}. Check the name."
        ) from error
    except (errors.HfHubHTTPError, OSError) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise OSError(
            f"{name!r} could not be fetched from the Hugging Face hub: {reason} "
            f"{advice}"
        ) from error
