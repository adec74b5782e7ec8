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
# # To the phone and the page
#
# A trained model is a Keras file. This notebook makes two other things of it: a file
# that a phone runs, and a web page that runs the model in the browser of whoever
# opens it.
#
# Needed: `pip install '.[tensorflow,export,plot]'` in a copy of the repository (on
# JAX and torch, too: TensorFlow writes the file, in a process of its own). For the
# page, npm, which comes with Node.js.

# %%
import os
import zipfile
from pathlib import Path

# CHANGE THIS if you like: "tensorflow", "jax" or "torch".
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import matplotlib.pyplot as plt

import keras_vit

keras.utils.set_random_seed(0)

# CHANGE THIS: your model, such as "saved_models/photos", and its pictures.
MODEL, DATA = Path("saved_models/digits"), "digits"

# %% [markdown]
# Without a model there, we train a small one on digits; it takes some seconds, and is
# not very good.

# %%
data = keras_vit.load_data(DATA)
if not MODEL.exists():
    model = keras_vit.ViT.from_variant("digits", class_names=data.class_names)
    model.preprocessing = keras_vit.Preprocessing(image_size=16, channels=1)
    recipe = keras_vit.training.get_recipe(
        "small_data",
        epochs=8,
        warmup_epochs=1,
        batch_size=32,
        augmentation=keras_vit.Augmentation(),
    )
    keras_vit.train(model, data, recipe, output=MODEL, verbose=0)
model = keras_vit.load(MODEL / "model.keras")
print(f"{model.count_params():,} parameters")

# %% [markdown]
# ## A file for a phone
#
# The format is LiteRT (`.tflite`), formerly TensorFlow Lite. Two choices:
#
# - `profile="mobile"` promises a file that graphics chips of phones accept: one
#   picture at a time, no operation that they refuse.
# - `quantization="dynamic_int8"` stores each weight in 8 bits instead of 32.
#
# Each file is run and compared with the model before you get it.

# %%
files, reports = {}, {}
for precision in ("float32", "dynamic_int8"):
    files[precision] = f"{precision}.tflite"
    reports[precision] = keras_vit.export(
        model,
        files[precision],
        format="litert",
        profile="mobile",
        quantization=precision,
        overwrite=True,
    )
    print(f"{precision}: {reports[precision].num_bytes:,} bytes")

# %% [markdown]
# ## What did the 8 bits cost?
#
# Ask the files, on pictures that the model has not seen. `evaluate` and `predict`
# take a `.tflite` file as they take a model.

# %%
found = {"model.keras": keras_vit.evaluate(model, data)}
found |= {files[name]: keras_vit.evaluate(files[name], data) for name in files}
for name, one in found.items():
    print(f"{name:22} accuracy {one.accuracy:.4f}")

# %%
figure, (sizes, times) = plt.subplots(1, 2, figsize=(7, 2.2))
sizes.bar(files.keys(), [one.num_bytes / 1000 for one in reports.values()])
sizes.set_ylabel("kB")
times.bar(files.keys(), [one.latency.median_ms for one in reports.values()])
times.set_ylabel("ms a picture, this CPU")
figure.tight_layout()
plt.show()

# %% [markdown]
# A model as small as this one may even be slower in 8 bits. One for photographs is
# two to three times faster (the page "Quantization").
#
# ## Will a phone's graphics chip take it?
#
# `audit` counts each operation of the file, and says why a graphics chip would refuse
# it.

# %%
audit = keras_vit.audit(files["dynamic_int8"])
for op in audit.ops:
    print(f"{op.count:3} {op.name:16} {'; '.join(op.gpu) or 'fine'}")

# %% [markdown]
# ## What an app needs to know is inside
#
# Class names, mean and standard deviation, in the standard place. Android Studio and
# MediaPipe read them there. The file is a zip archive, too:

# %%
with zipfile.ZipFile(files["dynamic_int8"]) as archive:
    print(archive.namelist())
    print(archive.read("labels.txt").decode().split())

# %% [markdown]
# In an Android app, with MediaPipe:
#
# ```
# val classifier = ImageClassifier.createFromFile(context, "dynamic_int8.tflite")
# val result = classifier.classify(BitmapImageBuilder(bitmap).build())
# ```
#
# `examples/android/` and `examples/ios/` of the repository hold all files of a small
# app. No phone was at hand to measure on.
#
# ## A page
#
# `write_demo` writes a folder: a page that takes a picture from the disk or the
# camera and runs the model in the browser. Pictures stay on the device, and nothing
# is asked of another server. npm fetches the runtime, once, while the folder is
# written.

# %%
try:
    site = keras_vit.write_demo(files["dynamic_int8"], "site", overwrite=True)
    print(sorted(path.name for path in site.iterdir()))
except (FileNotFoundError, RuntimeError) as error:
    print("No page:", error)  # npm is missing, or it cannot reach its server.

# %% [markdown]
# Look at it with `python3 -m http.server -d site`, at http://localhost:8000. To show
# it to others, put the folder on any web host, such as GitHub Pages: there is nothing
# to run on the server.
#
# ## Where to go on
#
# - The pages "Phones", "Quantization" and "A page" of the documentation.
# - Other formats: `keras_vit.export(model, "model.onnx", format="onnx")`, OpenVINO,
#   SavedModel, `.pt2`, StableHLO.
