"""A training run in a process of its own, which tests kill.

python run_child.py OUTPUT [SECONDS_BETWEEN_CHECKPOINTS]
"""

from __future__ import annotations

import sys

import keras

import keras_vit
from keras_vit.data.digits import load_digits

RECIPE = keras_vit.Recipe(
    epochs=3,
    warmup_epochs=1,
    batch_size=16,
    ema_decay=0.9,
    augmentation=keras_vit.Augmentation(rotation=10, translation=0.1),
)


def main(output: str, seconds: float) -> None:
    images, labels = load_digits()
    data = keras_vit.load_data((images[::10], labels[::10]), seed=1)
    keras.utils.set_random_seed(7)
    model = keras_vit.ViT.from_variant(
        "digits",
        hidden_dim=16,
        num_layers=2,
        num_heads=2,
        mlp_dim=32,
        dropout_rate=0.2,
        stochastic_depth_rate=0.2,
    )

    class Report(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            print("step", flush=True)

    # One line per step, so that the parent can kill it in the middle of an epoch.
    fit = keras_vit.training.TrainingModel.fit

    def reporting_fit(self, *args, callbacks, **kwargs):
        return fit(self, *args, callbacks=[*callbacks, Report()], **kwargs)

    keras_vit.training.TrainingModel.fit = reporting_fit
    keras_vit.train(
        model, data, RECIPE, output=output, checkpoint_seconds=seconds, verbose=0
    )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
