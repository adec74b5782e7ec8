"""From what a user names to files on this machine, through the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_vit.checkpoints.files.safetensors import part_names
from keras_vit.checkpoints.files.weight_files import (
    PICKLES,
    PREFERRED,
    choose_weights,
    is_index,
)
from keras_vit.checkpoints.timm.config import timm_table, unknown_architecture

# What a repository of ours, of timm, transformers, OpenCLIP or KerasHub may have.
_SMALL_FILES = (
    *("config.json", "preprocessor_config.json", "preprocessor.json", "task.json"),
    *("image_converter.json", "metadata.json", "model.weights.json"),
)
# Whole models, which are preferred to arrays.
_WHOLE = ("model.keras", "model.npz")
_KERAS_HUB = ("model.weights.h5", "task.weights.h5")
_SECONDS = 3  # to wait for the hub to say what a repository has


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


def named_architecture(source: str | Path, path: Path) -> str | None:
    """Return the timm name that stands for the `config.json` that a folder lacks.

    A cache that timm has filled holds the weights alone.

    Args:
        source: what the user named.
        path: where it was found.
    """
    if not path.is_dir() or (path / "config.json").is_file() or Path(source).exists():
        return None
    name = str(source).partition("@")[0].rpartition("/")[2].rpartition(":")[2]
    return name if name.partition(".")[0] in timm_table() else None


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


_SUFFIXES = (".npz", ".safetensors", ".keras", ".h5", *PICKLES)


def _download(hub_id: str, revision: str | None) -> Path:
    try:
        import huggingface_hub as hub
        import huggingface_hub.errors  # An attribute of the package only after this.
    except ImportError as error:
        raise ImportError(
            f"huggingface_hub is needed to download {hub_id!r}. Install it with "
            "pip install 'keras3-vit[hub]', or pass a local folder."
        ) from error
    repository = _Repository(hub, hub_id, revision)
    names = repository.names()
    weights = _weights(names, hub_id)
    if not weights:
        raise OSError(
            f"{hub_id!r} on the Hugging Face hub must have weights, received the files "
            f"{names[:8]}. Download its weights yourself and pass their path."
        )
    files = [repository.fetch(name) for name in _SMALL_FILES if name in names]
    files += [repository.fetch(name) for name in weights]
    for index in (file for file in files if is_index(file.name)):
        for name in part_names(index):
            repository.fetch(name)
    return files[-1].parent


def _weights(names: list[str], hub_id: str) -> list[str]:
    """Return the names of the files of weights to fetch, from those that there are."""
    whole = [name for name in _WHOLE if name in names][:1]
    if whole:
        return whole
    chosen = choose_weights((n for n in names if "/" not in n), hub_id)
    if chosen:
        return [chosen]
    # KerasHub lists the parts of large models, whose names all begin so.
    parts = [n for n in names if n.startswith("model_") and n.endswith(".weights.h5")]
    return [*(name for name in _KERAS_HUB if name in names), *parts]


class _Repository:
    """A repository of the hub, or what the cache has of it.

    Args:
        hub: the package huggingface_hub.
        name: "owner/name".
        revision: branch, tag or commit. None: the main branch.
    """

    def __init__(self, hub: Any, name: str, revision: str | None) -> None:
        self._hub, self._name, self._revision = hub, name, revision
        self._failure: Exception | None = None

    def names(self) -> list[str]:
        """Return the names of the files, of those in the cache if there is no answer.

        Raises:
            OSError: if the hub cannot be asked and the cache has nothing, or the hub
                refuses the repository.
        """
        try:
            info = self._hub.HfApi().model_info(
                self._name, revision=self._revision, timeout=_SECONDS
            )
            return sorted(file.rfilename for file in info.siblings or ())
        except Exception as error:  # The types depend on the hub's version.
            if _is_refusal(self._hub, error):
                return self._probed_names()
            self._failure = error
        folder = self._cached_folder()
        if folder is None:
            raise self._error(self._failure) from self._failure
        files = (path for path in folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(folder).as_posix() for path in files)

    def _probed_names(self) -> list[str]:
        """Return the names of those files that are there, the weights up to the first.

        For servers and proxies that serve files and no lists of them.
        """
        found = [name for name in _SMALL_FILES if self._has(name)]
        for name in (*_WHOLE, *PREFERRED, *_KERAS_HUB):
            if self._has(name):
                return [*found, name]
        return found

    def _has(self, file: str) -> bool:
        try:
            self._hub.hf_hub_download(self._name, file, revision=self._revision)
        except self._hub.errors.EntryNotFoundError as error:
            if isinstance(error, self._hub.errors.LocalEntryNotFoundError):
                raise self._error(error, file) from error
            return False
        except Exception as error:  # The types depend on the hub's version.
            raise self._error(error, file) from error
        return True

    def _cached_folder(self) -> Path | None:
        """Return the folder of the revision in the cache, None if there is none."""
        for name in (*_SMALL_FILES, *_WHOLE, *PREFERRED, *_KERAS_HUB):
            found = self._hub.try_to_load_from_cache(
                self._name, name, revision=self._revision
            )
            if isinstance(found, str):
                return Path(found).parent
        return None

    def fetch(self, file: str) -> Path:
        """Return the path of a file, from the cache alone if the hub did not answer."""
        options: dict[str, Any] = {"revision": self._revision}
        if self._failure is not None:
            options["local_files_only"] = True
        try:
            return Path(self._hub.hf_hub_download(self._name, file, **options))
        except Exception as error:  # The types depend on the hub's version.
            raise self._error(error, file) from error

    def _error(self, error: Exception, file: str | None = None) -> OSError:
        errors, name = self._hub.errors, self._name
        if isinstance(error, errors.GatedRepoError):
            return PermissionError(
                f"{name!r} is gated on the Hugging Face hub. Accept its terms at "
                f"https://huggingface.co/{name} and log in with `hf auth login`."
            )
        if isinstance(error, errors.RepositoryNotFoundError):
            return FileNotFoundError(
                f"The Hugging Face hub has no repository {name!r}, or it is private. "
                "Check the name, or log in with `hf auth login`."
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return FileNotFoundError(
                f"{name!r} has no revision {self._revision!r}. Check the name."
            )
        advice = (
            "Download the files elsewhere and pass the folder with config.json and the "
            "weights, or set HF_HOME to a cache that has them."
        )
        if file is not None and self._failure is None:
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            return OSError(
                f"{file!r} of {name!r} could not be fetched from the Hugging Face hub: "
                f"{reason} {advice}"
            )
        missing = f"{file!r} of it" if file is not None else "anything of it"
        failure = self._failure or error
        reason = (str(failure) or type(failure).__name__).strip().splitlines()[0]
        return OSError(
            f"{name!r} is no local path, the Hugging Face hub could not be reached "
            f"({reason}), and the cache does not have {missing}. {advice}"
        )


def _is_refusal(hub: Any, error: Exception) -> bool:
    """Tell whether the hub answered, and not that it is down."""
    if not isinstance(error, hub.errors.HfHubHTTPError):
        return False
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status is None or status < 500
