"""AdamW that decays matrices only."""

import contextlib
import importlib

import keras
import numpy as np
import pytest
import torch

import keras_vit
from keras_vit.keras_internals import moving_averages
from keras_vit.training import SGD, Adafactor, AdamW, Lamb, LossScaleOptimizer
from keras_vit.training.optimizer import multipliers
from keras_vit.training.recipe import OPTIMIZERS
from tests.families import FAMILIES
from tests.peers import import_timm

timm = import_timm()
optim = importlib.import_module("timm.optim")


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


STEPS = 8
SHAPES = {
    "patch_encoder/projection/kernel": (6, 4),
    "patch_encoder/projection/bias": (4,),
    "block_0/mlp/expand/kernel": (4, 5),
    "block_1/mlp/expand/kernel": (5, 3),
    "head/logits/kernel": (3, 2),
    "head/logits/bias": (2,),
}


def run(optimizer: keras.optimizers.Optimizer, rng) -> dict[str, np.ndarray]:
    """Return the variables of `SHAPES` after some steps with random gradients."""
    variables = []
    for path, shape in SHAPES.items():
        scopes = path.split("/")
        with nested([keras.name_scope(scope) for scope in scopes[:-1]]):
            value = rng.normal(size=shape).astype("float32")
            variables.append(keras.Variable(value, name=scopes[-1]))
    assert [variable.path for variable in variables] == list(SHAPES)
    optimizer.build(variables)
    for _ in range(STEPS):
        gradients = [rng.normal(size=shape) for shape in SHAPES.values()]
        optimizer.apply([keras.ops.cast(g, "float32") for g in gradients], variables)
    return {v.path: keras.ops.convert_to_numpy(v) for v in variables}


@contextlib.contextmanager
def nested(scopes):
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(scope)
        yield


def run_torch(make, rng, clip=None, ema=None) -> dict[str, np.ndarray]:
    """The same with a torch optimizer; `make` takes {path: parameter}."""
    parameters = {
        path: torch.nn.Parameter(torch.tensor(rng.normal(size=shape)).float())
        for path, shape in SHAPES.items()
    }
    optimizer = make(parameters)
    average = None
    for _ in range(STEPS):
        for path, parameter in parameters.items():
            parameter.grad = torch.tensor(rng.normal(size=SHAPES[path])).float()
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters.values(), clip)
        optimizer.step()
        if ema:
            values = {k: p.detach().clone() for k, p in parameters.items()}
            average = (
                values
                if average is None
                else {k: ema * average[k] + (1 - ema) * values[k] for k in values}
            )
    return {k: v.detach().numpy() for k, v in (average or parameters).items()}


def groups(parameters, decay: float, scale=None) -> list[dict]:
    """One group per parameter, kernels decaying, with the rate times `scale(path)`."""
    return [
        {
            "params": [parameter],
            "weight_decay": decay if path.endswith("kernel") else 0.0,
            "lr": 0.01 * (scale(path) if scale else 1.0),
        }
        for path, parameter in parameters.items()
    ]


def close(ours: dict, other: dict, rtol: float = 1e-5) -> None:
    for path in SHAPES:
        np.testing.assert_allclose(ours[path], other[path], rtol=rtol, atol=1e-6)


def fresh():
    return np.random.default_rng(1)


def test_adamw_with_clipping_is_that_of_torch():
    ours = run(
        AdamW(0.01, weight_decay=0.3, epsilon=1e-10, global_clipnorm=1.5), fresh()
    )
    other = run_torch(
        lambda p: torch.optim.AdamW(groups(p, 0.3), lr=0.01, eps=1e-10), fresh(), 1.5
    )
    close(ours, other)


def test_sgd_with_momentum_is_that_of_torch():
    for nesterov in (False, True):
        ours = run(SGD(0.01, momentum=0.9, nesterov=nesterov), fresh())
        other = run_torch(
            lambda p, n=nesterov: torch.optim.SGD(
                groups(p, 0.0), lr=0.01, momentum=0.9, nesterov=n
            ),
            fresh(),
        )
        close(ours, other)


def test_adafactor_is_that_of_torch():
    # torch takes the norm of a weight before its decay, Keras after it.
    ours = run(Adafactor(0.01, relative_step=False), fresh())
    other = run_torch(lambda p: torch.optim.Adafactor(groups(p, 0.0), lr=0.01), fresh())
    close(ours, other, 1e-4)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_lamb_is_that_of_timm(decay):
    ours = run(Lamb(0.01, epsilon=1e-6, weight_decay=decay), fresh())
    other = run_torch(
        lambda p: optim.Lamb(groups(p, decay), lr=0.01, eps=1e-6, max_grad_norm=None),
        fresh(),
    )
    close(ours, other, 1e-4)


def test_lamb_moves_a_kernel_of_zeros_as_one_of_deviation_002(rng):
    kernel = keras.Variable(np.zeros((16, 10), "float32"), name="kernel")
    optimizer = Lamb(0.1, weight_decay=0.01)
    optimizer.build([kernel])
    optimizer.apply([keras.ops.cast(rng.normal(size=(16, 10)), "float32")], [kernel])
    moved = keras.ops.convert_to_numpy(kernel)
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.1 * 0.02, rel=1e-4)
    optimizer.apply([keras.ops.zeros((16, 10))], [kernel])
    assert np.isfinite(keras.ops.convert_to_numpy(kernel)).all()


@pytest.mark.parametrize("kind", [AdamW, SGD, Lamb])
def test_rates_by_depth_scale_update_and_decay(kind):
    plain = kind(0.01, weight_decay=0.3)
    decayed = kind(0.01, weight_decay=0.3, layer_decay=0.5)
    start = run(kind(1e-30, weight_decay=0.0), fresh())
    one, two = run(plain, fresh()), run(decayed, fresh())
    for path in ("head/logits/kernel", "head/logits/bias"):
        np.testing.assert_allclose(one[path], two[path], rtol=1e-5)
    expected = run(kind(0.00125, weight_decay=0.3), fresh())
    path = "patch_encoder/projection/kernel"
    np.testing.assert_allclose(two[path], expected[path], rtol=1e-5)
    assert np.abs(two[path] - start[path]).max() > 0


def test_rates_by_depth_are_those_of_timm():

    other = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, depth=3, num_classes=3
    )
    found = {}
    for group in optim.param_groups_layer_decay(
        other, 0.1, other.no_weight_decay(), layer_decay=0.7
    ):
        for parameter in group["params"]:
            decay = group["weight_decay"]
            found[id(parameter)] = (group["lr_scale"], decay)
    theirs = {name: found[id(p)] for name, p in other.named_parameters()}
    model = keras_vit.ViT(
        32, 16, num_classes=3, hidden_dim=8, num_layers=3, num_heads=2, mlp_dim=8
    )
    scales = dict(
        zip(
            [v.path for v in model.trainable_variables],
            multipliers(model.trainable_variables, 0.7),
            strict=True,
        )
    )
    names = {
        "patch_encoder/class_token/token": "cls_token",
        "patch_encoder/position_embedding/table": "pos_embed",
        "patch_encoder/projection/kernel": "patch_embed.proj.weight",
        "block_0/attention/qkv/kernel": "blocks.0.attn.qkv.weight",
        "block_1/mlp_norm/gamma": "blocks.1.norm2.weight",
        "block_2/mlp/contract/bias": "blocks.2.mlp.fc2.bias",
        "head/logits/kernel": "head.weight",
    }
    for ours, name in names.items():
        assert scales[ours] == pytest.approx(theirs[name][0]), ours
        assert ours.endswith("kernel") == bool(theirs[name][1])


@pytest.mark.parametrize("name", ["class rotation", "mixed"])
def test_what_stands_before_a_block_has_its_rate_or_a_lower_one(name):
    model = keras_vit.ViT.from_variant("test", num_classes=3, **FAMILIES[name])
    scales: dict[str, set[float]] = {}
    factors = multipliers(model.trainable_variables, 0.5)
    for variable, factor in zip(model.trainable_variables, factors, strict=True):
        scales.setdefault(variable.path.split("/")[0], set()).add(factor)
    expected = {"patch_encoder": 1 / 8, "block_0": 1 / 4, "block_1": 1 / 2, "head": 1}
    if name == "mixed":
        expected |= {"rotary_positions_0": 1 / 4, "rotary_positions_1": 1 / 2}
    else:
        expected |= {"class_rotation": 1 / 8}
    assert scales == {k: {v} for k, v in expected.items()} | {"norm": {1}}


def test_what_stands_before_the_blocks_of_another_model_has_the_lowest_rate():
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 4, 4, use_bias=False, name="stem")(images)
    x = keras.layers.Reshape((4, 4))(x)
    for i in range(2):
        x = keras.layers.Dense(4, use_bias=False, name=f"block_{i}")(x)
    model = keras.Model(images, keras.layers.Dense(2, use_bias=False)(x))
    assert multipliers(model.trainable_variables, 0.5) == (1 / 8, 1 / 4, 1 / 2, 1)


def test_the_average_of_the_weights_follows_each_step():
    optimizer = AdamW(
        0.01, weight_decay=0.3, epsilon=1e-10, use_ema=True, ema_momentum=0.8
    )
    run(optimizer, fresh())
    averages = {
        variable.path: keras.ops.convert_to_numpy(average)
        for variable, average in moving_averages(optimizer)
    }
    other = run_torch(
        lambda p: torch.optim.AdamW(groups(p, 0.3), lr=0.01, eps=1e-10),
        fresh(),
        ema=0.8,
    )
    close(averages, other)


@pytest.mark.parametrize("kind", list(OPTIMIZERS.values()))
def test_optimizers_round_trip(kind):
    optimizer = kind(0.01, weight_decay=0.3, layer_decay=0.5, use_ema=True)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


def test_loss_scaling_round_trips_and_sums_once():
    optimizer = LossScaleOptimizer(AdamW(0.01), initial_scale=8.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.inner_optimizer.reduces_gradients is False


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="layer_decay must be above 0"):
        AdamW(layer_decay=1.5)
    with pytest.raises(TypeError, match="takes an optimizer of keras_vit.training"):
        LossScaleOptimizer(keras.optimizers.SGD())
