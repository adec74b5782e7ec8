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
# # Your photographs: a head, fine-tuning, and where it errs
#
# You have some hundred photographs of things that you want to tell apart. This
# notebook goes from a folder of them to a model, and to a page that shows each
# mistake.
#
# A *backbone* is a model that others trained on millions of pictures: it turns a
# picture into numbers that say what is on it. The last layer, the *head*, makes class
# names of them. We first fit a head alone, which takes one pass over the pictures,
# and then *fine-tune*: train a little of the backbone, too.
#
# The backbone is DINOv2 in its small size (22 million parameters, Apache 2.0). It is
# downloaded once, 88 MB.
#
# Needed: `pip install '.[tensorflow,head,hub,plot]'` in a copy of the repository. In
# Colab or on Kaggle: see the page "Notebooks" of the documentation.

# %%
import os
from pathlib import Path

# CHANGE THIS if you like: "tensorflow", "jax" or "torch".
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import matplotlib.pyplot as plt

import keras_vit

keras.utils.set_random_seed(0)

# CHANGE THIS: a folder with a sub-folder for each class: photos/cat/*.jpg, ...
PHOTOS = Path("photos")

# %% [markdown]
# ## No photographs at hand?
#
# Then this cell makes a folder to practise with, and does nothing if yours is there.
# It cuts three photographs, which come with scikit-learn and matplotlib, into tiles
# of 60 x 60 pixels: a Chinese temple, a flower, and a portrait of Grace Hopper. The
# task is to say which photograph a tile is from. That is an exercise, no more: most
# of these tiles are easy to tell apart.

# %%
if not PHOTOS.is_dir():
    from matplotlib.cbook import get_sample_data
    from PIL import Image
    from sklearn.datasets import load_sample_image

    whole = {
        "temple": Image.fromarray(load_sample_image("china.jpg")),
        "flower": Image.fromarray(load_sample_image("flower.jpg")),
        "portrait": Image.open(get_sample_data("grace_hopper.jpg")),
    }
    SIDE = 60  # pixels of a tile
    for name, photograph in whole.items():
        folder = PHOTOS / name
        folder.mkdir(parents=True)
        columns, rows = photograph.width // SIDE, photograph.height // SIDE
        for number in range(0, columns * rows, 3):
            left, top = SIDE * (number % columns), SIDE * (number // columns)
            tile = photograph.crop((left, top, left + SIDE, top + SIDE))
            tile.convert("RGB").save(folder / f"{number:03d}.png")

# %% [markdown]
# ## Look at them first
#
# Most of what goes wrong later can be seen now: files that are broken, the same
# picture in two classes, classes with three pictures.

# %%
print(keras_vit.check_data(PHOTOS).text())

# %% [markdown]
# Of the tiles for practice some are nothing but sky, and it says so. We keep them.
#
# Now the pictures are divided. The model trains on the first part. *Validation*
# pictures choose between moments of a training. The *test* pictures are kept for the
# end, so that the number is a fair one.

# %%
data = keras_vit.load_data(PHOTOS, validation_fraction=0.1, test_fraction=0.3)
for name in ("train", "validation", "test"):
    print(name, len(data.part(name)))

# %%
figure, axes = plt.subplots(len(data.class_names), 8, figsize=(8, 3.2), squeeze=False)
for name, row in zip(data.class_names, axes, strict=True):
    row[0].set_title(name, fontsize=9, loc="left")
    for path, axis in zip(sorted((PHOTOS / name).iterdir()), row, strict=False):
        axis.imshow(plt.imread(path))
        axis.axis("off")

# %% [markdown]
# ## A head
#
# The backbone looks at each picture once. What it sees, the *features*, is kept on
# disk. Then several heads are compared by *cross-validation*: each is fitted on four
# fifths of the training pictures and judged on the rest, five times in turn.

# %%
backbone = keras_vit.load("facebook/dinov2-small", image_size="preprocessing")
model = keras_vit.fit_head(backbone, data, output="saved_models/photos", overwrite=True)

# %%
head_found = keras_vit.evaluate(model, data)
print(head_found.text())

# %% [markdown]
# ## What does it look at?
#
# Yellow parts of the picture speak for the class, dark blue ones do not count.

# %%
[seen] = keras_vit.explain(model, data.test.samples(1))
print(seen.alt_text)
seen

# %% [markdown]
# ## Fine-tune
#
# *LoRA* adds two thin matrices to some large ones of the backbone and trains only
# these and the head: 1 % of the parameters. It begins with the head that we have. On
# your own pictures take the recipe as it is, ten epochs; two keep this notebook
# short.

# %%
recipe = keras_vit.training.get_recipe("photos_lora", epochs=2, warmup_epochs=0.5)
result = keras_vit.train(
    model, data, recipe, output="saved_models/photos_lora", overwrite=True, verbose=0
)
print(f"{result.seconds:.0f} seconds; the best epoch is number {result.best_epoch}")

# %%
found = keras_vit.evaluate(model, data)
print("head:      ", head_found.text())
print("fine-tuned:", found.text())

# %% [markdown]
# Did that help? With few test pictures one cannot tell: one or two more or less that
# are right may be luck. The report below computes it (McNemar's test). Of your own
# pictures take some hundred for the test.
#
# ## Where does it err?
#
# One page with everything: the mistakes as pictures with their heat maps, which
# classes are confused, whether the probabilities can be trusted, and what fine-tuning
# changed. It asks no server, so you can send it to others.

# %%
page = found.report("photos.html", against=head_found, overwrite=True)
print(page, "has", f"{page.stat().st_size:,}", "bytes: open it in a browser")

# %% [markdown]
# ## New pictures
#
# Give paths, PIL images or arrays. Here: three of the test pictures.

# %%
for answers in keras_vit.predict(model, data.test.samples(3), top=2):
    print(", ".join(f"{one.class_name}: {one.probability:.3f}" for one in answers))

# %% [markdown]
# A whole folder, into a table:

# %%
keras_vit.predict_to_file(
    model, PHOTOS / data.class_names[0], "predictions.csv", overwrite=True
)
print(Path("predictions.csv").read_text()[:300])

# %% [markdown]
# ## Where to go on
#
# - Put your own folder at the top, and run it again.
# - `5_to_the_phone_and_the_page`: a file for a phone, and a web page, of this model.
# - `4_look_inside_dinov2`: what the backbone sees.
