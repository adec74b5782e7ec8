"""AdamW that decays matrices only."""

import keras
import numpy as np

import keras_vit
from keras_vit.training import AdamW


def trained(optimizer: keras.optimizers.Optimizer) -> tuple[dict, dict, keras.Model]:
    """Make one step with zero gradients and return the weights before and after."""
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    for weight in model.weights:
        weight.assign(np.ones(weight.shape))
    before = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)
    zeros = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    after = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
    return before, after, model


def test_kernels_decay_and_nothing_else():
    before, after, _ = trained(AdamW(0.1, weight_decay=0.5))
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    assert changed == {path for path in before if path.endswith("/kernel")}
    np.testing.assert_allclose(after["head/logits/kernel"], 1 - 0.1 * 0.5, rtol=1e-6)


def test_tokens_positions_norms_and_biases_are_among_those_left_out():
    before, after, _ = trained(AdamW(0.1, weight_decay=0.5))
    for path in (
        "patch_encoder/class_token/token",
        "patch_encoder/position_embedding/table",
        "block_0/attention_norm/gamma",
        "block_1/mlp/expand/bias",
    ):
        np.testing.assert_array_equal(before[path], after[path])


def test_the_rule_holds_after_saving_and_loading(tmp_path):
    _, _, model = trained(AdamW(0.1, weight_decay=0.5))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    before = {w.path: keras.ops.convert_to_numpy(w) for w in again.weights}
    zeros = [keras.ops.zeros(v.shape) for v in again.trainable_variables]
    again.optimizer.apply(zeros, again.trainable_variables)
    after = {w.path: keras.ops.convert_to_numpy(w) for w in again.weights}
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    assert changed == {path for path in before if path.endswith("/kernel")}
