"""Finding sources, without network."""

from __future__ import annotations

import pytest

import keras_vit
from keras_vit.checkpoints.hub import find_source


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of folders: {repo_id: folder}, with the errors of the real one."""
    import huggingface_hub as real

    repositories, asked = {}, []

    def hf_hub_download(repo_id, filename, revision=None):
        asked.append((repo_id, filename, revision))
        if repo_id not in repositories:
            raise real.errors.LocalEntryNotFoundError("offline")
        path = repositories[repo_id] / filename
        if not path.exists():
            raise real.errors.EntryNotFoundError("no file")
        return str(path)

    monkeypatch.setattr(real, "hf_hub_download", hf_hub_download)
    repositories["asked"] = asked
    return repositories


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
def test_names_become_repositories(hub, tmp_path, source, repo):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    hub[repo] = tmp_path
    assert find_source(source) == tmp_path


def test_a_revision_is_pinned(hub, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    hub["me/vit"] = tmp_path
    find_source("me/vit@v2")
    find_source("me/vit", revision="abc")
    assert {revision for _, _, revision in hub["asked"]} == {"v2", "abc"}


def test_without_network_the_error_says_what_to_do(hub):
    with pytest.raises(OSError, match="could not be reached.*pass the folder"):
        keras_vit.load("google/vit-base-patch16-224")


def test_a_repository_without_weights_is_named(hub, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    hub["me/empty"] = tmp_path
    with pytest.raises(OSError, match="none of the files"):
        find_source("me/empty")


def test_local_paths_come_first(tmp_path):
    assert find_source(tmp_path) == tmp_path
