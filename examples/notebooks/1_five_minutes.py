# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Five minutes: train, see, export
#
# This notebook trains a small *Vision Transformer* on handwritten digits, shows what
# it looks at, and writes a file that a phone can run. A Vision Transformer is a
# network that cuts a picture into small squares, *patches*, and lets each patch read
# from all others.
#
# You need nothing but Keras. There is nothing to download: the digits come with the
# package. On two processor cores all of it takes about a minute.
#
# **Where is the package?** On your computer: `pip install
# '.[tensorflow,export,plot]'` in a copy of the repository. In Colab or on Kaggle: see
# the page "Notebooks" of the documentation.

# %%
import os

# CHANGE THIS if you like: "tensorflow", "jax" or "torch". Keras reads it at import.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import matplotlib.pyplot as plt

import keras_vit

keras.utils.set_random_seed(0)
print(keras_vit.__version__, "on", keras.backend.backend())

# %% [markdown]
# ## The data
#
# 1,797 digits of 8 x 8 pixels, in grey, in three parts. The model trains on the
# first. The second, *validation*, chooses the best moment of the training. The third,
# *test*, is not looked at until the end, so that it judges the model fairly.

# %%
data = keras_vit.load_data("digits", validation_fraction=0.2)
print(data.class_names)
for name in ("train", "validation", "test"):
    print(name, len(data.part(name)))

# %%
pictures = data.test.samples(10)
figure, axes = plt.subplots(1, 10, figsize=(8, 1))
for axis, picture in zip(axes, pictures, strict=True):
    axis.imshow(picture, cmap="gray")
    axis.axis("off")

# %% [markdown]
# ## The model
#
# One line. `"digits"` is a small size; `"S/16"` and `"B/16"` are those for
# photographs. `preprocessing` says how a picture becomes numbers. It stays with the
# model, so that each picture is read in the same way later: here, in a file, on a
# phone.

# %%
model = keras_vit.ViT.from_variant("digits", class_names=data.class_names)
model.preprocessing = keras_vit.Preprocessing(image_size=16, channels=1)
model.summary()

# %% [markdown]
# ## Train
#
# A *recipe* holds all settings of a training run: how fast to learn, for how many
# *epochs* (passes over the pictures), how to vary the pictures. `"small_data"` is
# meant for 200 epochs of digits that are turned and shifted at random, and reaches
# about 0.988 (`benchmarks/digits.py`). Fifteen epochs without turning are enough to
# see it work.

# %%
recipe = keras_vit.training.get_recipe(
    "small_data",
    epochs=15,
    warmup_epochs=2,
    batch_size=32,
    augmentation=keras_vit.Augmentation(),
)
output = "saved_models/digits"
result = keras_vit.train(model, data, recipe, output=output, overwrite=True, verbose=0)
print(
    f"the best epoch is number {result.best_epoch}, {result.seconds:.0f} seconds in all"
)

# %%
epochs = [row["epoch"] for row in result.history]
plt.figure(figsize=(6, 2.5))
for name in ("accuracy", "val_accuracy"):
    plt.plot(epochs, [row[name] for row in result.history], label=name)
plt.xlabel("epoch")
plt.ylabel("share that is right")
plt.legend()
plt.show()

# %% [markdown]
# ## How good is it?

# %%
found = keras_vit.evaluate(model, data)
print(found.text())
print("open", found.report("digits.html", overwrite=True), "to see each mistake")

# %%
for answers in keras_vit.predict(model, pictures[:3], top=2):
    print(", ".join(f"{one.class_name}: {one.probability:.3f}" for one in answers))

# %% [markdown]
# ## What does it look at?
#
# `explain` returns a map for each picture. Yellow parts speak for the answer, dark
# blue ones do not count. A cell whose last line is such a map shows it.

# %%
maps = keras_vit.explain(model, pictures[:2])
maps[0]

# %%
print(maps[0].alt_text)

# %% [markdown]
# ## A file for a phone
#
# LiteRT, formerly TensorFlow Lite, runs on Android, iOS and small boards. The file is
# run and compared with the model before you get it, and holds class names and
# preprocessing.

# %%
report = keras_vit.export(model, "digits.tflite", format="litert", overwrite=True)
print(f"{report.num_bytes:,} bytes, {report.latency.median_ms:.2f} ms a picture")
print(f"largest difference to the model: {report.max_difference:.1e}")

# %% [markdown]
# It answers as the model does:

# %%
for answers in keras_vit.predict("digits.tflite", pictures[:3], top=2):
    print(", ".join(f"{one.class_name}: {one.probability:.3f}" for one in answers))

# %% [markdown]
# ## Where to go on
#
# - `2_your_photographs`: the same for your own pictures, with a model that has seen
#   millions.
# - `7_build_your_own_vit`: what is inside, step by step.
# - `5_to_the_phone_and_the_page`: smaller files, and a web page that runs the model.
