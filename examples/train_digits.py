"""Train a small ViT on the embedded digits with Keras's own `fit`, then export it.

Source: arXiv:2010.11929 (model), keras_vit.RECIPES["small_data"] (training).
Command: KERAS_BACKEND=jax python examples/train_digits.py
Expected: 40 to 90 seconds on two cores, accuracy about 0.988 on the held-out third
(benchmarks/digits.py measures mean and spread). `--smoke` runs two epochs.
"""

import sys
from dataclasses import replace
from pathlib import Path

import keras

import keras_vit

SMOKE = "--smoke" in sys.argv
OUTPUT = Path(sys.argv[-1]) if sys.argv[-1].endswith(".tflite") else None
RECIPE = keras_vit.RECIPES["small_data"]
if SMOKE:
    RECIPE = replace(RECIPE, epochs=2, warmup_epochs=0)

keras.utils.set_random_seed(RECIPE.seed)
data = keras_vit.load_data("digits")
model = keras_vit.ViT.from_variant("digits", class_names=data.class_names)
model.preprocessing = keras_vit.Preprocessing(image_size=16, channels=1)

# What keras_vit.train does, taken apart: batches, compile, fit.
train = data.train.batches(
    model.preprocessing,
    RECIPE.batch_size,
    training=True,
    augmentation=RECIPE.augmentation,
)
RECIPE.compile(model, steps_per_epoch=len(train))
model.fit(train, epochs=RECIPE.epochs, shuffle=False, verbose=2)

print(keras_vit.evaluate(model, data))
if OUTPUT is not None:
    print(keras_vit.export(model, OUTPUT, format="litert"))
