"""A training run in a process of its own, which tests kill.

python run_child.py OUTPUT [SECONDS_BETWEEN_CHECKPOINTS]

Variables: DISTRIBUTE, the arguments of `distribute` as JSON; SIGTERM_AT, the step after
which the process gets a SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import keras

import keras_vit
from keras_vit.data.sources.digits import load_digits
from keras_vit.training import keeper

RECIPE = keras_vit.Recipe(
    epochs=3,
    warmup_epochs=1,
    batch_size=16,
    ema_decay=0.9,
    augmentation=keras_vit.Augmentation(rotation=10, translation=0.1),
)
SIGTERM_AT = int(os.environ.get("SIGTERM_AT", "0"))
keeper.ASK_STEPS = 4  # An epoch has 9.


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
        # As the callbacks of `train`: JAX goes on while it is called.
        async_safe = True
        steps = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            print("step", flush=True)
            self.steps += 1
            if self.steps == SIGTERM_AT:
                os.kill(os.getpid(), signal.SIGTERM)

    # One line per step, so that the parent can kill it in the middle of an epoch.
    fit, report = keras_vit.training.TrainingModel.fit, Report()

    def reporting_fit(self: Any, *args: Any, callbacks: Any, **kwargs: Any) -> Any:
        return fit(self, *args, callbacks=[*callbacks, report], **kwargs)

    keras_vit.training.TrainingModel.fit = reporting_fit
    keras_vit.train(
        model, data, RECIPE, output=output, checkpoint_seconds=seconds, verbose=0
    )


if __name__ == "__main__":
    options = json.loads(os.environ.get("DISTRIBUTE", '{"kind": "single"}'))
    with keras_vit.distribute(options.pop("kind"), **options):
        main(sys.argv[1], float(sys.argv[2]))
