"""What the outputs of a model are."""

import keras
import pytest

import keras_vit
from keras_vit.output_activation import output_activation


@pytest.mark.parametrize(
    ("activation", "expected"),
    [(None, None), ("linear", None), ("softmax", "softmax"), ("sigmoid", "sigmoid")],
)
def test_the_last_activation_is_found_in_each_form_of_a_model(activation, expected):
    model = keras_vit.ViT.from_variant(
        "test", num_classes=3, classifier_activation=activation
    )
    assert output_activation(model) == expected
    assert output_activation(keras.Model(model.input, model.output)) == expected
    assert output_activation(keras.models.clone_model(model)) == expected


def test_the_last_dense_layer_of_another_model_is_asked():
    images = keras.Input((4, 4, 1))
    x = keras.layers.Flatten()(images)
    for activation, expected in (("softmax", "softmax"), (None, None)):
        outputs = keras.layers.Dense(3, activation=activation)(x)
        assert output_activation(keras.Model(images, outputs)) == expected


def _dense(x, **options):
    return keras.layers.Dense(3, **options)(x)


@pytest.mark.parametrize(
    "end",
    [
        lambda x: keras.layers.Softmax()(_dense(x)),
        lambda x: keras.layers.Activation("softmax", dtype="float32")(_dense(x)),
        lambda x: keras.layers.Activation("linear")(_dense(x, activation="softmax")),
        lambda x: keras.layers.Reshape((3,))(_dense(x, activation="softmax")),
        lambda x: keras.ops.softmax(_dense(x)),
    ],
)
def test_a_softmax_is_found_however_it_is_written_also_in_a_model_within(end):
    images = keras.Input((4, 4, 1))
    model = keras.Model(images, end(keras.layers.Flatten()(images)))
    assert output_activation(model) == "softmax"
    around = keras.Model(images, model(keras.layers.Rescaling(0.5)(images)))
    assert output_activation(around) == "softmax"
    assert output_activation(keras.Sequential([images, model])) == "softmax"
