"""Sources by name: local paths, and the real client of a small hub on loopback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import keras_vit
from keras_vit.checkpoints.hub import find_source
from tests.checkpoints.fake_hub import COMMIT, run_fresh, serve
from tests.one_backend import NO_BACKEND
from tests.peers import timm_model, write_timm

pytestmark = NO_BACKEND  # Files and names; what is in them is read elsewhere.

NAME = "vit_base_patch16_224.augreg_in21k"
TINY = {"embed_dim": 32, "depth": 1, "num_heads": 2, "num_classes": 3, "img_size": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What timm pushes to the hub, of a small model."""
    path = tmp_path_factory.mktemp("hub") / "vit"
    write_timm(timm_model("vit_base_patch16_224", **TINY), path)
    (path / "README.md").write_text("A model.")
    return path


@pytest.fixture(scope="module")
def repositories(folder: Path) -> dict[str, Path]:
    """Repositories of each kind."""
    from safetensors.numpy import load_file
    from safetensors.torch import save_file

    base = folder.parent
    import torch

    arrays = load_file(folder / "model.safetensors")
    tensors = {k: torch.from_numpy(v) for k, v in arrays.items()}
    made = {f"timm/{NAME}": folder, "me/vit": folder}
    for name in ("pickle", "sharded", "variant", "empty"):
        made[f"me/{name}"] = shutil.copytree(folder, base / name)
        (base / name / "model.safetensors").unlink()
    torch.save(tensors, base / "pickle" / "pytorch_model.bin")
    save_file(tensors, base / "variant" / "model.fp16.safetensors")
    halves = [dict(list(tensors.items())[i::2]) for i in (0, 1)]
    for i, half in enumerate(halves):
        torch.save(half, base / "sharded" / f"pytorch_model-0000{i + 1}-of-00002.bin")
    places = {
        n: f"pytorch_model-0000{i + 1}-of-00002.bin"
        for i, half in enumerate(halves)
        for n in half
    }
    index = base / "sharded" / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    keras_vit.save(keras_vit.load(folder), base / "keras")
    made["me/keras"] = base / "keras"
    return made


LOAD = """
import sys, time, warnings
start = time.time()
import keras_vit
imported = time.time()
for name in sys.argv[1:] or NAMES:
    model = keras_vit.load(name)
    print(name, model.count_params(), model.output_shape[1])
print("seconds", time.time() - imported)
"""


def loading(*names: str) -> str:
    return LOAD.replace("NAMES", repr(names))


def unused_url() -> str:
    with serve({}) as server:
        return server.url


def test_a_fresh_process_loads_online_and_offline_from_the_cache(
    repositories: dict[str, Path], tmp_path: Path
) -> None:
    names = (NAME, "hf-hub:me/vit@v2", "me/pickle", "me/sharded", "me/variant")
    code = loading(*names, "me/keras")
    with serve(repositories) as server:
        child = run_fresh(code, tmp_path, server.url)
        assert child.returncode == 0, child.stderr
        assert not [path for _, path in server.asked if "README" in path]
        url = server.url
    lines = child.stdout.splitlines()
    assert len({tuple(line.split()[1:]) for line in lines[:-1]}) == 1
    # The server is gone: without a variable, and told that there is no network.
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        again = run_fresh(code, tmp_path, url, **environment)
        assert again.returncode == 0, again.stderr
        assert again.stdout.splitlines()[:-1] == lines[:-1]
        assert float(again.stdout.split()[-1]) < 30


FAIL = """
import time
import keras_vit
for name in NAMES:
    start = time.time()
    try:
        keras_vit.load(name)
    except Exception as error:
        print(type(error).__name__, round(time.time() - start, 1), error)
"""


def failing(*names: str) -> str:
    return FAIL.replace("NAMES", repr(names))


def test_without_network_and_cache_the_error_comes_soon(tmp_path: Path) -> None:
    code = failing(NAME, "me/vit")
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        child = run_fresh(code, tmp_path, unused_url(), **environment)
        lines = child.stdout.splitlines()
        assert len(lines) == 2, child.stderr
        for line in lines:
            kind, seconds, text = line.split(maxsplit=2)
            assert kind == "OSError" and float(seconds) < 5
            assert "could not be reached" in text and "pass the folder" in text


def test_a_server_without_lists_is_asked_for_each_file(
    repositories: dict[str, Path], tmp_path: Path
) -> None:
    with serve(repositories, lists=False) as server:
        child = run_fresh(loading("me/vit", "me/sharded"), tmp_path, server.url)
    assert child.returncode == 0, child.stderr


def test_each_refusal_says_what_to_do(
    repositories: dict[str, Path], tmp_path: Path
) -> None:
    names = ("me/empty", "me/none", "me/vit@v9", "me/gated")
    made = {**repositories, "me/gated": repositories["me/vit"]}
    expected = (
        ("OSError", "must have weights, received the files"),
        ("FileNotFoundError", "has no repository 'me/none', or it is private"),
        ("FileNotFoundError", "'me/vit' has no revision 'v9'"),
        ("PermissionError", "'me/gated' is gated"),
    )
    with serve(made, gated=("me/gated",)) as server:
        child = run_fresh(failing(*names), tmp_path / "a", server.url)
    lines = child.stdout.splitlines()
    assert len(lines) == len(expected), child.stderr
    for line, (kind, text) in zip(lines, expected, strict=True):
        assert line.startswith(kind) and text in line
    with serve(made, status=503) as server:
        child = run_fresh(failing("me/vit"), tmp_path / "b", server.url)
    kind, seconds, text = child.stdout.split(maxsplit=2)
    assert kind == "OSError" and float(seconds) < 5 and "could not be reached" in text


def test_a_part_that_the_cache_lacks_is_named(
    repositories: dict[str, Path], tmp_path: Path
) -> None:
    with serve(repositories) as server:
        child = run_fresh(loading("me/vit"), tmp_path, server.url)
        assert child.returncode == 0, child.stderr
    [snapshot] = tmp_path.rglob(f"snapshots/{COMMIT}")
    (snapshot / "model.safetensors").unlink()
    child = run_fresh(failing("me/vit"), tmp_path, unused_url())
    assert child.stdout.startswith("OSError"), child.stderr


def test_a_cache_that_timm_filled_has_no_config(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    tiny = timm_model("vit_tiny_patch16_224", depth=12)
    write_timm(tiny, tmp_path / "whole")
    (tmp_path / "whole" / "config.json").unlink()
    cache = tmp_path / "cache"
    with serve({f"timm/{name}": tmp_path / "whole"}) as server:
        filled = run_fresh(
            "import huggingface_hub as hub; hub.hf_hub_download("
            f"'timm/{name}', 'model.safetensors')",
            cache,
            server.url,
        )
    assert filled.returncode == 0, filled.stderr
    child = run_fresh(loading(name, f"timm/{name}"), cache, unused_url())
    assert child.returncode == 0, child.stderr


def test_training_starts_from_weights_of_the_hub(
    repositories: dict[str, Path], tmp_path: Path
) -> None:
    command = (
        "from keras_vit.cli import main\n"
        "main(['train', '--data', 'digits', '--weights', 'me/vit', '--epochs', '1', "
        f"'--batch-size', '256', '--output', {str(tmp_path / 'run')!r}])"
    )
    with serve(repositories) as server:
        code = f"import sys; sys.argv = ['keras-vit']\n{command}"
        child = run_fresh(code, tmp_path, server.url)
    assert (tmp_path / "run" / "model.keras").is_file(), child.stderr


# Names, without a hub


class _Hub:
    """The functions of huggingface_hub that are called, on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []

    def HfApi(self) -> Any:  # noqa: N802
        return self

    def model_info(self, name: str, revision: Any = None, timeout: Any = None) -> Any:
        self.asked.append((name, revision))
        files = [path.name for path in self.folder.iterdir()]
        siblings = [type("File", (), {"rfilename": file}) for file in files]
        return type("Info", (), {"siblings": siblings})

    def hf_hub_download(self, name: str, file: str, revision: Any = None) -> str:
        self.asked.append((name, revision))
        return str(self.folder / file)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> _Hub:
    import huggingface_hub

    fake = _Hub(folder)
    for name in ("HfApi", "hf_hub_download"):
        monkeypatch.setattr(huggingface_hub, name, getattr(fake, name))
    return fake


@pytest.mark.parametrize(
    "source, repo",
    [
        ("google/vit-base-patch16-224", "google/vit-base-patch16-224"),
        ("hf-hub:timm/some_vit", "timm/some_vit"),
        ("vit_tiny_patch16_224", "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
        (
            "vit_tiny_patch16_224.augreg_in21k",
            "timm/vit_tiny_patch16_224.augreg_in21k",
        ),
    ],
)
def test_names_become_repositories(hub, folder, source, repo):
    assert find_source(source) == folder
    assert {name for name, _ in hub.asked} == {repo}


def test_a_revision_is_pinned(hub):
    find_source("me/vit@v2")
    find_source("me/vit", revision="abc")
    assert {revision for _, revision in hub.asked} == {"v2", "abc"}


def test_local_paths_come_first(tmp_path):
    assert find_source(tmp_path) == tmp_path
