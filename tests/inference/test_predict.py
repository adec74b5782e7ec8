"""Predictions from pictures of any kind."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing, embedded_texts
from keras_vit.inference import predictor

NAMES = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def model():
    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=3,
        class_names=NAMES,
        preprocessing=Preprocessing(image_size=32, crop_ratio=0.9),
    )
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.fixture
def picture(rng) -> np.ndarray:
    return rng.integers(0, 256, (50, 70, 3), dtype="uint8")


def expected(model, picture) -> np.ndarray:
    logits = model.predict(model.preprocessing(picture)[None], verbose=0)[0]
    exponents = np.exp(logits - logits.max())
    return exponents / exponents.sum()


def test_probabilities_are_the_softmax_of_the_logits_in_order(model, picture):
    [predictions] = keras_vit.predict(model, [picture])
    probabilities = expected(model, picture)
    order = np.argsort(-probabilities)
    assert [p.index for p in predictions] == order.tolist()
    assert [p.class_name for p in predictions] == [NAMES[i] for i in order]
    found = [p.probability for p in predictions]
    np.testing.assert_allclose(found, probabilities[order], rtol=1e-5)


def test_a_single_logit_is_the_sigmoid_of_yes(model, picture, tmp_path):
    images = keras.Input((32, 32, 3))
    single = keras.Model(images, model(images)[:, :1])
    single.preprocessing, single.class_names = model.preprocessing, ("cat",)
    logit = single.predict(model.preprocessing(picture)[None], verbose=0)[0, 0]
    [[found]] = keras_vit.predict(single, [picture])
    assert found.probability == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)


def test_paths_pictures_and_arrays_give_the_same(model, picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.png")
    kinds = [str(tmp_path / "a.png"), tmp_path / "a.png", Image.fromarray(picture)]
    first, *others = keras_vit.predict(model, [picture, *kinds])
    for other in others:
        assert [p.index for p in other] == [p.index for p in first]
        np.testing.assert_allclose(
            [p.probability for p in other], [p.probability for p in first], rtol=1e-5
        )


def test_one_picture_needs_no_list(model, picture):
    assert keras_vit.predict(model, picture) == keras_vit.predict(model, [picture])


def test_batches_give_what_single_pictures_give(model, rng):
    pictures = list(rng.integers(0, 256, (5, 40, 40, 3), dtype="uint8"))
    together = keras_vit.predict(model, pictures, batch_size=2)
    for picture, predictions in zip(pictures, together, strict=True):
        [alone] = keras_vit.predict(model, [picture])
        np.testing.assert_allclose(
            [p.probability for p in predictions],
            [p.probability for p in alone],
            rtol=1e-4,
        )


def test_top_limits_the_classes(model, picture):
    assert len(keras_vit.predict(model, [picture], top=2)[0]) == 2
    assert len(keras_vit.predict(model, [picture], top=50)[0]) == 3


def test_a_softmax_model_is_not_softmaxed_twice(picture):
    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=2,
        classifier_activation="softmax",
        preprocessing=Preprocessing(image_size=32),
    )
    model.get_layer("head").logits.bias.assign(np.log([0.9, 0.1]))
    [[best, _]] = keras_vit.predict(model, [picture])
    assert best.class_name == "0" and best.probability == pytest.approx(0.9, rel=1e-5)


def test_a_saved_model_predicts_the_same(model, picture, tmp_path):
    model.save(tmp_path / "model.keras")
    expected = keras_vit.predict(model, [picture])
    for path in (tmp_path, tmp_path / "model.keras", str(tmp_path)):
        [found] = keras_vit.predict(path, [picture])
        assert [p.class_name for p in found] == [p.class_name for p in expected[0]]


def test_a_model_without_preprocessing_says_what_to_do(picture):
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    with pytest.raises(ValueError, match=r"Set model\.preprocessing"):
        keras_vit.predict(model, [picture])
    given = Preprocessing(image_size=32)
    assert len(keras_vit.predict(model, [picture], preprocessing=given)[0]) == 3


def test_a_headless_model_is_refused(picture):
    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=None,
        pooling=None,
        use_class_token=True,
        preprocessing=Preprocessing(image_size=32),
    )
    with pytest.raises(ValueError, match="Build it with num_classes"):
        keras_vit.predict(model, [picture])


def test_missing_and_damaged_files_are_named(model, picture, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.keras"):
        keras_vit.predict(tmp_path / "nowhere.keras", [picture])
    with pytest.raises(FileNotFoundError, match="saved_model.pb.* is there"):
        keras_vit.predict(tmp_path, [picture])
    (tmp_path / "model.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"ends in one of \['.keras', '.tflite'"):
        keras_vit.predict(tmp_path / "model.h5", [picture])
    (tmp_path / "bad.keras").write_bytes(b"no zip")
    with pytest.raises(ValueError, match="could not be loaded"):
        keras_vit.predict(tmp_path / "bad.keras", [picture])
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    with pytest.raises(ValueError, match="carries no keras_vit metadata"):
        keras_vit.predict(tmp_path / "bad.tflite", [picture])
    with pytest.raises(FileNotFoundError):
        keras_vit.predict(model, [tmp_path / "nothing.png"])


def test_a_missing_runtime_is_named(picture, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    metadata = {
        "format_version": 1,
        "input": {"shape": [1, 32, 32, 3], "values": "preprocessed"},
        "output": {"name": "logits", "activation": None},
        "preprocessing": None,
        "class_names": [],
    }
    embedded_texts.append_onnx(path, {"keras_vit.json": json.dumps(metadata)})
    monkeypatch.setattr(predictor, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"onnxruntime is .* 'keras3-vit\[onnx\]'"):
        keras_vit.predict(path, [picture])


def test_top_must_be_positive(model, picture):
    with pytest.raises(ValueError, match="top must be at least 1"):
        keras_vit.predict(model, [picture], top=0)


def test_features_are_not_taken_for_classes(picture):
    model = keras_vit.ViT.from_variant(
        "test", num_classes=None, preprocessing=Preprocessing(image_size=32)
    )
    with pytest.raises(ValueError, match="without a head"):
        keras_vit.predict(model, [picture])


def test_pictures_may_come_from_a_generator(model, picture):
    found = keras_vit.predict(model, (picture for _ in range(3)))
    assert len(found) == 3


def test_a_batch_may_be_a_tensor_of_the_backend(model):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 30, 3), dtype="uint8")
    expected = keras_vit.predict(model, pictures)
    assert keras_vit.predict(model, keras.ops.convert_to_tensor(pictures)) == expected


def test_a_picture_that_cannot_be_read_costs_no_others(model, picture, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    pictures = [picture] * 3 + [tmp_path / "bad.png"] + [picture[:20]] * 3
    with pytest.raises(OSError, match=r"bad\.png"):
        keras_vit.predict(model, pictures, batch_size=2)
    with pytest.warns(UserWarning, match=r"Picture 3 is left out: .*bad\.png"):
        found = keras_vit.predict(model, pictures, batch_size=2, skip_unreadable=True)
    assert [len(one) for one in found] == [3, 3, 3, 0, 3, 3, 3]
    alone = keras_vit.predict(model, [picture[:20]])[0]
    assert [one.index for one in found[6]] == [one.index for one in alone]
    # Batches of other sizes may differ in the last digit.
    probabilities = [one.probability for one in alone]
    assert [one.probability for one in found[6]] == pytest.approx(probabilities, 1e-5)


def test_nested_lists_are_refused(model):
    with pytest.raises(TypeError, match="received list"):
        keras_vit.predict(model, [[[0, 255], [0, 255]]])
