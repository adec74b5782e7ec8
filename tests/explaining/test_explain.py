"""Heat maps: attention against NumPy, and places against the picture."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.cli.command_line import main
from keras_vit.explaining.explain import explain
from keras_vit.explaining.seen_part import on_picture


def vit(**options):
    own = {"image_size": 32, "patch_size": 8, "num_classes": 3, **options}
    model = keras_vit.ViT.from_variant("test", **own)
    size = model.config.image_size or (32, 40)
    channels = model.config.channels
    model.preprocessing = Preprocessing(image_size=size, channels=channels)
    for weight in model.weights:  # Zero heads and tokens would hide what is wrong.
        if "float" in str(weight.dtype):
            values = np.random.default_rng(len(weight.path)).normal(size=weight.shape)
            weight.assign(0.3 * values + np.asarray(weight))
    return model


def scores(model, images):
    found = keras_vit.attention_scores(model, None)(images)
    return {
        k: keras.ops.convert_to_numpy(v).astype("float64") for k, v in found.items()
    }


def rolled(model, images):
    """Rollout as the paper writes it, of all tokens."""
    found = scores(model, images)
    total, steps = None, []
    for block in range(model.config.num_layers):
        mean = found[f"block_{block}"].mean(axis=1)
        step = 0.5 * mean + 0.5 * np.eye(mean.shape[-1])
        total = step if total is None else step @ total
        steps.append(total)
    return steps, found


MODELS = {
    "token": {},
    "mean": {"pooling": "mean"},
    "registers": {"num_registers": 3},
    "attention": {"pooling": "attention"},
    "attention, class token": {"pooling": "attention", "use_class_token": True},
    "last two": {"pooling": "token_mean", "num_pooled_blocks": 2},
    "prefix": {"pooling": "prefix", "num_registers": 2, "use_class_token": True},
    "any size": {"image_size": None, "position_grid": (4, 4)},
}


@pytest.mark.parametrize("name", MODELS)
def test_rollout_is_the_product_of_all_blocks(name, rng):
    model = vit(**MODELS[name])
    picture = rng.integers(0, 256, (40, 50, 3), dtype="uint8")
    images = model.preprocessing(picture)[None]
    steps, found = rolled(model, images)
    last, first = steps[-1], model.config.num_prefix_tokens
    expected = {
        "mean": lambda: last[:, first:].mean(axis=1),
        "attention": lambda: np.einsum(
            "bqn,bnt->bt",
            found["pooling"].mean(axis=1),
            last[:, first:],
        ),
        "prefix": lambda: last[:, :first].mean(axis=1),
        "token_mean": lambda: (
            (steps[-2][:, 0] + last[:, 0] + last[:, first:].mean(axis=1)) / 3
        ),
        "token": lambda: last[:, 0],
    }[model.config.pooling]()
    [shown] = explain(model, [picture], method="rollout")
    np.testing.assert_allclose(
        shown.patches.ravel(), expected[0, first:], rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(expected.sum(), 1, rtol=1e-6)


def test_a_backbone_has_a_map_and_no_class():
    [found] = explain(vit(num_classes=None), [np.zeros((32, 32, 3), "uint8")])
    assert found.class_name is None and found.probability is None
    assert found.patches.shape == (4, 4)


def test_attention_is_that_of_a_block_and_a_head(rng):
    model = vit(num_registers=1)
    picture = rng.integers(0, 256, (32, 32, 3), dtype="uint8")
    of_block = scores(model, model.preprocessing(picture)[None])["block_0"]
    [one] = explain(model, [picture], method="attention", block=0, head=1)
    np.testing.assert_allclose(one.patches.ravel(), of_block[0, 1, 0, 2:], rtol=1e-5)
    [mean] = explain(model, [picture], method="attention", block=0)
    expected = of_block[0].mean(axis=0)[0, 2:]
    np.testing.assert_allclose(mean.patches.ravel(), expected, rtol=1e-5)


def test_the_map_of_an_attention_pooling(rng):
    model = vit(pooling="query")
    picture = rng.integers(0, 256, (32, 32, 3), dtype="uint8")
    expected = scores(model, model.preprocessing(picture)[None])["pooling"]
    [found] = explain(model, [picture], method="pooling")
    np.testing.assert_allclose(
        found.patches.ravel(), expected[0].mean(axis=0)[0, -16:], rtol=1e-5
    )


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(image_size=(32, 48)),
        Preprocessing(image_size=32, crop_ratio=0.8),
        Preprocessing(image_size=32, resize="squash"),
        Preprocessing(image_size=32, resize="border"),
    ],
    ids=["crop", "ratio", "squash", "border"],
)
@pytest.mark.parametrize("size", [(60, 90), (90, 45)])
def test_a_patch_lies_where_the_model_saw_it(preprocessing, size):
    # A bright square in the picture: the patches that see it, and the map of them.
    picture = np.zeros((*size, 3), "uint8")
    top, left = size[0] // 2 - 8, size[1] // 2 - 12
    picture[top : top + 16, left : left + 16] = 255
    seen = preprocessing.resize_image(picture)[..., 0].astype("float64")
    height, width = preprocessing.image_size
    patches = seen.reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3))
    found = on_picture(patches, size, preprocessing, (8, 8))
    assert found.shape == size
    weights = np.nan_to_num(found)
    centre = [
        (weights.sum(axis=axis) * np.arange(side)).sum() / weights.sum()
        for axis, side in ((1, size[0]), (0, size[1]))
    ]
    patch = 8 * max(size) / min(preprocessing.image_size)
    assert abs(centre[0] - (top + 7.5)) < 0.35 * patch
    assert abs(centre[1] - (left + 7.5)) < 0.35 * patch


def test_what_was_cut_off_has_no_value():
    found = on_picture(np.ones((4, 4)), (32, 64), Preprocessing(image_size=32), (8, 8))
    is_seen = ~np.isnan(found)
    assert is_seen[:, 16:48].all() and not is_seen[:, :16].any()
    assert not is_seen[:, 48:].any()
    border = Preprocessing(image_size=32, resize="border")
    assert not np.isnan(on_picture(np.ones((4, 4)), (32, 64), border, (8, 8))).any()


class Bright(keras.layers.Layer):
    """Logits of a class that grows with the brightness of the top left quarter."""

    def call(self, images):
        quarter = keras.ops.mean(images[:, :14, :14], axis=(1, 2, 3))
        return keras.ops.stack([0 * quarter, 8 * quarter], axis=-1)


def test_occlusion_finds_what_a_classifier_looks_at():
    images = keras.Input((28, 28, 3))
    model = keras.Model(images, Bright()(images))
    model.preprocessing = Preprocessing(image_size=28)
    model.class_names = ("dark", "bright")
    picture = np.full((28, 28, 3), 40, "uint8")
    picture[:14, :14] = 250
    [found] = explain(model, [picture], method="occlusion", target="bright")
    assert found.class_name == "bright" and found.target == 1
    inside = found.values[:12, :12].min()
    assert inside > found.values[18:, 18:].max()
    assert "top left" in found.alt_text


def test_the_picture_shows_the_map_and_what_was_not_seen(tmp_path):
    model = vit()
    picture = np.full((40, 80, 3), 200, "uint8")
    [found] = explain(model, [Image.fromarray(picture)], method="rollout")
    path = found.save(tmp_path / "map.png")
    pixels = np.asarray(Image.open(path))
    # A small picture is enlarged, here three times.
    assert pixels.shape == (120 + 26, 240, 3)
    assert (pixels[:120, :60] == 70).all()  # Cut off, and darker.
    assert len(np.unique(pixels[:120, 60:180].reshape(-1, 3), axis=0)) > 3
    with pytest.raises(FileExistsError, match="exists. Choose another path"):
        found.save(path)
    with pytest.raises(ValueError, match="saved as .png"):
        found.save(tmp_path / "map.gif")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "cam"}, "method must be one of"),
        ({"method": "attention", "block": 2}, r"block must be from -2 to 1"),
        ({"method": "attention", "head": 9}, r"head must be from 0 to 1"),
        ({"method": "pooling"}, "is for an attention pooling"),
        ({"method": "occlusion", "target": "owl"}, "target must be a class"),
        ({"method": "occlusion", "target": 3}, "from 0 to 2"),
        ({"method": "rollout", "target": 1}, "target is a class, which the methods"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
    ],
)
def test_what_is_not_there_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        explain(vit(), [np.zeros((32, 32, 3), "uint8")], **options)


def test_models_without_a_map_are_refused():
    with pytest.raises(ValueError, match="not defined for differential attention"):
        explain(vit(attention="differential"), [], method="rollout")
    with pytest.raises(ValueError, match="received a model with pooling=None"):
        explain(vit(pooling=None, num_classes=None), [])
    with pytest.raises(ValueError, match="received a model without a head"):
        explain(vit(num_classes=None), [], method="occlusion")
    images = keras.Input((8, 8, 3))
    with pytest.raises(TypeError, match="which a keras_vit.ViT has"):
        model = keras.Model(images, keras.layers.Flatten()(images))
        explain(model, [], method="rollout")


def test_the_default_is_what_says_most_of_what_the_model_can_say():
    picture, other = np.zeros((32, 32, 3), "uint8"), keras.Input((32, 32, 3))
    plain = keras.Model(other, keras.layers.Dense(3)(keras.layers.Flatten()(other)))
    plain.preprocessing = keras_vit.Preprocessing(image_size=32)
    models = {
        "relevance": [vit(), vit(attention="differential", pooling="attention")],
        "rollout": [vit(num_classes=None), vit(pooling="attention")],
        "occlusion": [plain],
    }
    for method, model in ((name, one) for name in models for one in models[name]):
        assert explain(model, [picture])[0].method == method


def test_the_command_writes_a_map_of_each_picture_or_none(tmp_path, capsys):
    model = vit()
    model.class_names = ("cat", "dog", "owl")
    keras_vit.save(model, tmp_path / "model.keras")
    pictures = [tmp_path / "a" / "cat.png", tmp_path / "b" / "Cat.png"]
    for picture in pictures:
        picture.parent.mkdir()
        Image.new("RGB", (40, 32), "red").save(picture)
    output = tmp_path / "maps"
    command = ["explain", str(tmp_path / "model.keras"), *map(str, pictures)]
    command += ["--output", str(output)]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[str(pictures[1])]["map"].endswith("Cat_2.map.png")
    names = {path.name for path in output.iterdir()}
    assert names == {"cat.map.png", "Cat_2.map.png"}
    assert main(command) == 2
    assert "exists. Choose another folder" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    # A folder with pictures of others is never replaced.
    command[-1] = str(pictures[0].parent)
    assert main([*command, "--overwrite"]) == 2
    assert "also holds cat.png" in capsys.readouterr().err
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bad = [*command[:2], str(tmp_path / "bad.png"), "--output", str(tmp_path / "no")]
    capsys.readouterr()
    assert main(bad) == 2 and not (tmp_path / "no").exists()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_predict_draws_what_it_looked_at(tmp_path, capsys):
    model = vit(class_names=("owl", "cat", "dog"))
    model.save(tmp_path / "model.keras")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    folder, pictures = tmp_path / "maps", [str(tmp_path / f"{c}.png") for c in "ab"]
    command = ["predict", str(tmp_path / "model.keras"), *pictures]
    assert main([*command, "--explain", str(folder)]) == 3  # One was left out.
    assert [path.name for path in folder.iterdir()] == ["a.map.png"]
    assert f"maps in {folder}" in capsys.readouterr().out
    [found] = explain(model, [pictures[0]])
    with Image.open(folder / "a.map.png") as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(found.image()))
    assert main([*command, "--explain", str(folder)]) == 2
    assert "exists. Choose another folder" in capsys.readouterr().err
    assert main([*command, "--explain", str(folder), "--overwrite"]) == 3
    capsys.readouterr()
    (tmp_path / "model.tflite").write_bytes(b"TFL3")
    other = ["predict", str(tmp_path / "model.tflite"), pictures[0]]
    assert main([*other, "--explain", str(tmp_path / "new")]) == 2
    assert "looks into a Keras model" in capsys.readouterr().err
    table = ["--output", str(tmp_path / "table.csv"), "--explain", str(tmp_path / "n")]
    assert main([*command, *table]) == 2
    assert "Leave one of them out" in capsys.readouterr().err
    assert not (tmp_path / "new").exists() and not (tmp_path / "table.csv").exists()


def test_a_threshold_of_its_own_decides_which_class_is_explained():
    model = vit(num_classes=1)
    model.class_names = ("no", "yes")
    picture = np.full((32, 32, 3), 90, "uint8")
    for share, name in ((1e-6, "yes"), (1 - 1e-6, "no")):
        model.thresholds = (share,)
        [[first, _]] = keras_vit.predict(model, [picture], top=2)
        for method in ("relevance", "grad_cam", "occlusion"):
            [found] = explain(model, [picture], method=method)
            assert found.class_name == first.class_name == name
        number = ("no", "yes").index(name)
        [asked] = explain(model, [picture], method="relevance", target=number)
        [found] = explain(model, [picture], method="relevance")
        np.testing.assert_array_equal(found.patches, asked.patches)
        [curves] = keras_vit.deletion_insertion(model, [picture], None, steps=1)
        assert curves.target == number


def test_names_of_digits_are_names_first():
    model = vit(num_classes=4)
    model.class_names = ("5", "0", "1", "2")
    picture = np.full((32, 32, 3), 90, "uint8")
    for target, number in (("1", 2), ("5", 0), ("3", 3), (1, 1), (np.int64(2), 2)):
        [found] = explain(model, [picture], target=target)
        assert found.target == number


@pytest.mark.parametrize(
    "options",
    [
        {"method": "attention", "head": True},
        {"method": "attention", "head": 1.5},
        {"method": "attention", "block": "last"},
        {"method": "attention", "block": None},
        {"method": "relevance", "target": 1.5},
        {"method": "relevance", "target": [1, 2]},
        {"method": "occlusion", "window": 1.5},
        {"batch_size": 1.5},
    ],
    ids=str,
)
def test_what_is_no_whole_number_is_refused(options):
    with pytest.raises(ValueError, match="must be (from|the number|a whole number)"):
        explain(vit(), [np.zeros((32, 32, 3), "uint8")], **options)


def test_models_that_give_nan_or_several_outputs_are_refused():
    model, picture = vit(), np.full((32, 32, 3), 90, "uint8")
    model.weights[-1].assign(np.full(3, np.nan, "float32"))
    for judge in (
        lambda: keras_vit.predict(model, [picture]),
        lambda: explain(model, [picture]),
        lambda: keras_vit.deletion_insertion(model, [picture], None),
    ):
        with pytest.raises(ValueError, match="gives NaN, no probabilities, for"):
            judge()
    images = keras.Input((32, 32, 3))
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(images))
    two = keras.Model(images, {"a": logits, "b": logits})
    with pytest.raises(ValueError, match="received 2 outputs"):
        explain(two, [picture], preprocessing=model.preprocessing)
    dense = keras.Model(images, keras.layers.Conv2D(3, 3)(images))
    with pytest.raises(ValueError, match="Pass a classifier"):
        keras_vit.deletion_insertion(
            dense, [picture], None, preprocessing=model.preprocessing
        )


def test_a_folder_is_never_replaced_by_a_picture(tmp_path):
    [found] = explain(vit(), [np.zeros((32, 32, 3), "uint8")])
    (tmp_path / "map.png").mkdir()
    (tmp_path / "map.png" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is a folder"):
        found.save(tmp_path / "map.png", overwrite=True)
    assert (tmp_path / "map.png" / "notes.txt").exists()
    assert found == found and len({found}) == 1


def test_a_map_that_is_even_says_so():
    model = vit()
    kernel = model.get_layer("head").logits.kernel
    kernel.assign(np.zeros(kernel.shape, "float32"))
    [found] = explain(model, [np.full((32, 32, 3), 90, "uint8")], method="relevance")
    assert found.alt_text.endswith("the same everywhere.")


def test_the_command_replaces_its_own_maps_and_takes_no_folder(tmp_path, capsys):
    vit().save(tmp_path / "model.keras")
    for name in ("a", "b"):
        Image.new("RGB", (32, 32), "red").save(tmp_path / f"{name}.png")
    command = ["explain", str(tmp_path / "model.keras"), str(tmp_path / "a.png")]
    output = ["--output", str(tmp_path / "maps")]
    assert main([*command, str(tmp_path / "b.png"), *output]) == 0
    options = ["--method", "occlusion", "--window", "1", "--overwrite"]
    assert main([*command, *output, *options]) == 0
    names = [path.name for path in (tmp_path / "maps").iterdir()]
    assert names == ["a.occlusion.png"]
    capsys.readouterr()
    assert main([*command[:2], str(tmp_path), "--output", "new"]) == 2
    assert "received the folder" in capsys.readouterr().err
