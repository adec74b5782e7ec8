"""Heads on frozen features: what is fitted, kept, written and refused."""

import json

import keras
import numpy as np
import pyarrow
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.heads.feature_cache import FeatureCache
from keras_vit.heads.feature_kinds import backbone, feature_kinds
from keras_vit.heads.feature_pass import FeatureReader
from keras_vit.heads.labelled_parts import labelled_parts
from keras_vit.heads.search_head import HeadOptions, search_head
from keras_vit.inference.embed import embed
from tests.contract import set_random_weights

SIZE = 16


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))


def make_model(**options):
    config = {"image_size": SIZE, "num_classes": None, **options}
    model = keras_vit.ViT.from_variant(
        "test", preprocessing=Preprocessing(image_size=SIZE), **config
    )
    set_random_weights(model)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of three classes that differ in colour."""
    rng = np.random.default_rng(0)
    top = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(("blue", "green", "red")):
        (top / name).mkdir()
        for i in range(12):
            pixels = rng.integers(0, 150, (20, 24, 3), dtype="uint8")
            pixels[..., number] += 100
            Image.fromarray(pixels).save(top / name / f"{i}.png")
    return top


@pytest.fixture(scope="module")
def data(folder):
    return keras_vit.load_data(folder)


def fit(model, data, **options):
    how = {"verbose": False, "batch_size": 8, "dtype": "float32"}
    return search_head(model, data, HeadOptions(**{**how, **options}))


def test_the_head_is_a_layer_of_a_plain_model(data):
    model = make_model()
    fitted = fit(model, data)
    found = fitted.model
    assert found.class_names == ("blue", "green", "red")
    assert keras_vit.evaluate(found, data).accuracy > 0.8
    assert model.config.num_classes is None  # It stays as it is.
    pictures = [*data.validation.pictures()]
    features = embed(keras_vit.replace_head(found, None), pictures)
    rows = fitted.linear.logits(features)
    exponents = np.exp(rows - rows.max(axis=1, keepdims=True))
    expected = exponents / exponents.sum(axis=1, keepdims=True)
    for row, one in zip(expected, keras_vit.predict(found, pictures), strict=True):
        assert one[0].index == row.argmax()
        assert one[0].probability == pytest.approx(row.max(), abs=1e-4)


def test_what_the_head_sees_is_chosen_where_the_model_has_no_classifier(data):
    fitted = fit(make_model(), data)
    names = [row.features for row in fitted.report.tried]
    assert names == ["token", "token_mean", "last_four"]
    assert (
        fitted.report.features
        == min(fitted.report.tried, key=lambda r: r.loss).features
    )
    kept = fit(make_model(num_classes=5), data).report
    assert [row.features for row in kept.tried] == ["pooled"]
    mean = fit(make_model(pooling="mean"), data).report
    assert [row.features for row in mean.tried] == ["pooled"]


@pytest.mark.parametrize("features", ["pooled", "token", "token_mean", "last_four"])
def test_one_kind_of_features_is_what_the_fitted_model_computes(data, features):
    fitted = fit(make_model(), data, features=features)
    kept = fitted.read(data.validation)
    pictures = [*data.validation.pictures()]
    expected = embed(keras_vit.replace_head(fitted.model, None), pictures)
    np.testing.assert_allclose(kept, expected, atol=1e-4)


def test_a_second_head_computes_no_features(data):
    model = make_model()
    first = fit(model, data)
    assert first.report.num_computed == len(data.train)
    again = fit(model, data)
    assert again.report.num_computed == 0
    np.testing.assert_array_equal(again.linear.kernel, first.linear.kernel)
    # A picture that is new costs one pass of its own, another backbone all of them.
    other = make_model()
    kernel = other.get_layer("block_0").mlp.get_weights()
    other.get_layer("block_0").mlp.set_weights([2 * w for w in kernel])
    assert fit(other, data).report.num_computed == len(data.train)
    assert fit(model, data, cache=None).report.num_computed == len(data.train)


def test_pictures_are_known_by_their_contents(folder, data, tmp_path):
    model = make_model()
    fit(model, data)
    for path in sorted(folder.rglob("*.png")):
        new = tmp_path / "moved" / path.parent.name / f"x{path.name}"
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(path.read_bytes())
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (20, 24, 3), dtype="uint8")
    Image.fromarray(pixels).save(tmp_path / "moved" / "red" / "new.png")
    whole = keras_vit.load_data(tmp_path / "moved", validation_fraction=0.0)
    held_out = len(data.validation)
    assert fit(model, whole).report.num_computed == held_out + 1


def test_damaged_features_are_computed_again(data, tmp_path):
    model = make_model()
    fit(model, data)
    (file, *_) = (tmp_path / "cache").rglob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(UserWarning, match="cannot be read .* computed again"):
        assert fit(model, data).report.num_computed == len(data.train)


def test_features_of_another_width_are_not_taken(tmp_path):
    FeatureCache(tmp_path, 3).add(np.arange(2, dtype="uint64"), np.ones((2, 3), "f4"))
    with pytest.warns(UserWarning, match="shape"):
        _, known = FeatureCache(tmp_path, 4).read(np.arange(2, dtype="uint64"))
    assert not known.any()


def test_a_stopped_pass_goes_on_where_it_was(data, tmp_path):
    model = make_model()
    kinds = feature_kinds(model)

    def reader():
        return FeatureReader(
            lambda dtype: backbone(model, kinds, dtype),
            model.preprocessing,
            dtype="float32",
            batch_size=4,
            folder=tmp_path,
            verbose=False,
        )

    half = data.train.subset(data.train.indices[:10])
    first = reader().read(half)
    again = reader()
    whole = again.read(data.train)
    assert again.num_computed == len(data.train) - 10
    np.testing.assert_array_equal(whole[:10], first)


def test_equal_pictures_are_computed_once(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (6, 20, 20, 3), dtype="uint8")
    pixels[3] = pixels[0]
    arrays = keras_vit.load_data(
        (pixels, np.array([0, 1, 0, 0, 1, 1])), validation_fraction=0.0
    )
    assert fit(make_model(), arrays).report.num_computed == 5


def test_bfloat16_is_taken_only_where_features_stay_the_same(data):
    assert fit(make_model(), data, dtype="bfloat16").report.dtype == "bfloat16"
    assert fit(make_model(), data, dtype="auto").report.dtype in ("bfloat16", "float32")


def test_a_class_of_one_picture_is_learned_and_one_of_each_is_not_enough(data):
    labels, indices = data.train.labels, data.train.indices
    few = np.concatenate([indices[labels == k][: 1 + 4 * k] for k in range(3)])
    part = keras_vit.ImageData(
        name="x", class_names=data.class_names, train=data.train.subset(few)
    )
    assert fit(make_model(), part).model.output_shape == (None, 3)
    alone = np.array([indices[labels == k][0] for k in range(3)])
    part = keras_vit.ImageData(
        name="x", class_names=data.class_names, train=data.train.subset(alone)
    )
    with pytest.raises(ValueError, match="one of each class"):
        fit(make_model(), part)


def test_each_class_may_count_the_same(folder, data):
    model = make_model()
    few = data.train.subset(
        np.concatenate(
            [
                data.train.indices[data.train.labels == k][: 10 if k else 3]
                for k in range(3)
            ]
        )
    )
    part = keras_vit.ImageData(name="x", class_names=data.class_names, train=few)
    plain = fit(model, part).linear
    balanced = fit(model, part, class_weight="balanced").linear
    counts = {"blue": 1 / 3, "green": 0.1, "red": 0.1}
    same = fit(model, part, class_weight=counts).linear
    # As near as the optimizer comes: weights that are the same up to rounding.
    np.testing.assert_allclose(same.bias, balanced.bias, rtol=1e-6, atol=1e-5)
    assert not np.allclose(balanced.bias, plain.bias)


def test_pictures_of_a_group_and_their_weights_count(folder):
    paths = sorted(folder.rglob("*.png"))
    rows = {
        "path": [str(path) for path in paths],
        "label": [path.parent.name for path in paths],
        "group": [int(path.stem) // 3 for path in paths],
        "weight": [1.0 + (path.parent.name == "red") for path in paths],
    }
    data = keras_vit.load_data(pyarrow.table(rows), validation_fraction=0.0)
    labelled, _ = labelled_parts(data, None, 5, 0)
    assert labelled.num_folds == 4  # of four groups
    for group in range(4):
        assert len(set(labelled.folds[data.train.groups == group])) == 1
    red = data.train.labels == 2
    weights = labelled.weights
    np.testing.assert_allclose(weights[red] / weights[~red][:12], 2.0)


def test_several_labels_of_a_picture_are_each_a_yes_or_no(folder):
    paths = sorted(folder.rglob("*.png"))
    labels = np.zeros((len(paths), 3), "float32")
    for row, path in zip(labels, paths, strict=True):
        row[("blue", "green", "red").index(path.parent.name)] = 1
        row[2] = max(row[2], path.parent.name == "blue")  # Blue ones are red, too.
    data = keras_vit.load_data(
        (paths, labels),
        class_names=["blue", "green", "red"],
        multi_label=True,
        validation_fraction=0.0,
    )
    model = fit(make_model(), data).model
    pictures = [*data.train.pictures()]
    found = np.zeros((len(pictures), 3))
    for row, each in zip(found, keras_vit.predict(model, pictures), strict=True):
        row[[one.index for one in each]] = [one.probability for one in each]
    assert np.mean((found > 0.5) == (data.train.labels > 0.5)) > 0.9
    assert found.sum(axis=1).max() > 1.3  # They do not share a whole.


def test_a_run_is_written_whole(data, tmp_path):
    output = tmp_path / "run"
    keras_vit.fit_head(make_model(), data, output=output, verbose=False, batch_size=8)
    names = {path.name for path in output.iterdir()}
    assert names == {"model.keras", "head.json", "pictures.npz"}
    about = json.loads((output / "head.json").read_text())
    assert about["class_names"] == ["blue", "green", "red"]
    found = keras_vit.evaluate(output, keras_vit.load_data(data.name))
    assert found.num_trained_on == 0 and found.part == "validation"
    with pytest.raises(FileExistsError, match="--overwrite"):
        keras_vit.fit_head(make_model(), data, output=output, verbose=False)
    # What an export has put beside the model goes with it.
    for name in ("model_dynamic_int8.tflite", "model_dynamic_int8.tflite.report.md"):
        (output / name).write_bytes(b"made of the former model")
    keras_vit.fit_head(
        make_model(), data, output=output, verbose=False, overwrite=True, batch_size=8
    )
    assert {path.name for path in output.iterdir()} == names
    (output / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        keras_vit.fit_head(
            make_model(), data, output=output, verbose=False, overwrite=True
        )
    assert (output / "notes.txt").read_text() == "mine"


def test_the_report_says_what_was_compared(data, capsys):
    fitted = fit(make_model(), data, verbose=True)
    text = capsys.readouterr()
    assert "30 pictures in" in text.err and "more photographs" in text.out
    report = fitted.report
    assert report.majority == pytest.approx(1 / 3)
    assert [point.share for point in report.curve] == [0.1, 0.25, 0.5, 1.0]
    assert report.curve[-1].accuracy == pytest.approx(report.best.accuracy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "all"}, "are 'auto' or one of"),
        ({"folds": 1}, "folds must be a whole number of at least 2"),
        ({"folds": 2.5}, "folds must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"class_weight": {"red": 1.0}}, "a weight for each of the classes"),
        ({"class_weight": {"red": 1, "blue": 0, "green": 1}}, "must be above 0"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(data, options, message):
    with pytest.raises(ValueError, match=message):
        fit(make_model(), data, **options)


def test_models_that_give_no_vector_are_refused(data):
    with pytest.raises(ValueError, match="pooling=None"):
        fit(make_model(pooling=None), data)
    with pytest.raises(ValueError, match="two classifiers"):
        fit(make_model(use_distillation_token=True, num_classes=3), data)
    model = make_model()
    model.preprocessing = None
    with pytest.raises(ValueError, match="how pictures are preprocessed"):
        fit(model, data)
    inputs = keras.Input((4,))
    with pytest.raises(TypeError, match="keras_vit.load"):
        fit(keras.Model(inputs, inputs), data)
    with pytest.raises(TypeError, match="load_data"):
        fit(make_model(), "photos")
    with pytest.raises(ValueError, match="'last_four'|one of"):
        fit(make_model(pooling="mean"), data, features="last_four")
