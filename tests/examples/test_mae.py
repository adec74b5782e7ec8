"""The masked autoencoder: what it hides, what it counts, and what it leaves behind."""

from __future__ import annotations

import re

import numpy as np
import pytest

import keras_vit
from tests.contract import to_numpy
from tests.examples.scripts import run, script
from tests.one_backend import NO_BACKEND

mae = script("mae")
PICTURES = np.random.default_rng(0).random((3, 32, 32, 3), "float32")


@pytest.fixture
def vit():
    return keras_vit.ViT.from_variant("test", num_classes=None)


def patches(images):
    return to_numpy(keras_vit.Patches(8)(images))


def test_a_patch_reaches_its_own_place_if_it_is_seen_and_none_if_hidden(vit):
    model = mae.MaskedAutoencoder(vit, decoder_dim=16, decoder_layers=0)
    for i in range(vit.config.num_layers):  # Blocks that change nothing: z + 0.
        for weight in vit.get_layer(f"block_{i}").weights:
            weight.assign(np.zeros(weight.shape))

    def painted(images):
        model.generator.state.assign([7, 0])  # The same patches each time.
        found = model(images)
        return to_numpy(found["patches"]), to_numpy(found["hidden"])

    before, hidden = painted(PICTURES)
    assert before.shape == (3, 16, 192) and (hidden.sum(axis=1) == 12).all()
    assert len({tuple(row) for row in hidden}) == 3  # Each picture hides others.
    for patch in range(16):
        row, column = 8 * (patch // 4), 8 * (patch % 4)
        changed = PICTURES.copy()
        changed[:, row : row + 8, column : column + 8] += 1.0
        after, _ = painted(changed)
        differs = np.abs(after - before).max(axis=-1) > 1e-6
        expected = np.zeros_like(differs)
        expected[:, patch] = hidden[:, patch] == 0
        np.testing.assert_array_equal(differs, expected)


def test_the_encoder_reads_the_visible_tokens_alone(vit):
    model = mae.MaskedAutoencoder(vit)
    order = np.stack([np.random.default_rng(i).permutation(16) for i in range(3)])
    tokens = to_numpy(model.encode(PICTURES, order))
    assert tokens.shape == (3, 1 + 4, 32)
    changed = PICTURES.copy()
    for picture, hidden in zip(changed, order[:, 4:], strict=True):
        for patch in hidden:
            row, column = 8 * (patch // 4), 8 * (patch % 4)
            picture[row : row + 8, column : column + 8] = 0.0
    np.testing.assert_array_equal(to_numpy(model.encode(changed, order)), tokens)


def test_with_nothing_hidden_the_encoder_is_the_vit(vit):
    model = mae.MaskedAutoencoder(vit, mask_ratio=0.0)
    order = np.tile(np.arange(16), (3, 1))
    found = keras_vit.features(vit, as_grid=False)(PICTURES)["block_1"]
    tokens = to_numpy(model.encode(PICTURES, order))
    np.testing.assert_allclose(tokens, to_numpy(found), atol=1e-5)


def test_the_loss_counts_hidden_patches_only(rng):
    target, painted = rng.random((2, 3, 16, 48), "float32")
    hidden = rng.integers(0, 2, (3, 16))
    loss = to_numpy(mae.masked_loss(target, painted, hidden))
    expected = np.mean((target - painted)[hidden == 1] ** 2)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    painted[hidden == 0] = 9.0
    np.testing.assert_allclose(
        to_numpy(mae.masked_loss(target, painted, hidden)), expected, rtol=1e-5
    )


def test_fit_paints_better_and_the_weights_load_as_a_classifier(tmp_path):
    vit = keras_vit.ViT.from_variant("test", num_layers=1, num_classes=None)
    before = [np.array(to_numpy(weight)) for weight in vit.weights]
    model = mae.MaskedAutoencoder(vit, decoder_layers=1)
    model.compile("adam")
    losses = model.fit(PICTURES, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    changes = [
        np.abs(to_numpy(weight) - old).max()
        for weight, old in zip(vit.weights, before, strict=True)
    ]
    assert min(changes) > 0
    keras_vit.save(vit, tmp_path / "mae.keras")
    loaded = keras_vit.load(tmp_path / "mae.keras", num_classes=5)
    assert isinstance(loaded, keras_vit.ViT) and loaded.output_shape == (None, 5)
    for one in vit.weights:
        (same,) = [other for other in loaded.weights if other.path == one.path]
        np.testing.assert_array_equal(to_numpy(same), to_numpy(one))


@NO_BACKEND  # The test above fits on each.
def test_the_example_runs(monkeypatch, capsys, tmp_path):
    tiny = ("--epochs", 2, "--fine-tune-epochs", 8, "--labels", 2, "--seeds", 2)
    run(monkeypatch, "mae", *tiny, "--output", tmp_path / "mae.keras")
    printed = capsys.readouterr().out
    assert len(re.findall(r"^seed \d: 0\.\d+ from", printed, re.MULTILINE)) == 2
    assert "gain" in printed
    assert keras_vit.load(tmp_path / "mae.keras").output_shape == (None, 64)
