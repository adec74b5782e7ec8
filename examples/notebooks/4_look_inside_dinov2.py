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
# # Look inside DINOv2
#
# DINOv2 ([arXiv:2304.07193](https://arxiv.org/abs/2304.07193)) is a Vision
# Transformer that learned from 142 million photographs without a single label. Nobody
# told it what a flower is. This notebook looks at what it has found out all the same.
#
# A Vision Transformer cuts a picture into squares, *patches*, and turns each into a
# row of numbers, a *token*. In each of 12 *blocks* every token reads from all others.
# How much it reads from which is called *attention*.
#
# Needed: `pip install '.[tensorflow,hub,plot]' scikit-learn` in a copy of the
# repository. The weights are downloaded once, 88 MB.

# %%
import os

# CHANGE THIS if you like: "tensorflow", "jax" or "torch".
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from sklearn.datasets import load_sample_image

import keras_vit

# %% [markdown]
# ## Three photographs
#
# They come with scikit-learn and matplotlib. **Change this** to look at your own:
# each may be a path, a PIL image or an array.

# %%
portrait = plt.imread(get_sample_data("grace_hopper.jpg"), format="jpg")
photographs = [load_sample_image(f"{name}.jpg") for name in ("china", "flower")]
photographs.append(portrait)


def show(images, titles=None, width=2.6):
    titles = titles or [""] * len(images)
    figure, axes = plt.subplots(1, len(images), figsize=(width * len(images), 2.6))
    for axis, image, title in zip(axes, images, titles, strict=True):
        axis.imshow(image)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    plt.show()


show(photographs)

# %% [markdown]
# ## The model
#
# It was trained on pictures of 518 x 518 pixels and patches of 14 x 14. It works at
# any multiple of 14: we take 392, which gives 28 x 28 patches. `resize="squash"`
# shows it the whole picture instead of a square from its middle.

# %%
model = keras_vit.load("facebook/dinov2-small", image_size=392)
whole = replace(model.preprocessing, resize="squash", crop_ratio=1.0)
print(f"{model.count_params():,} parameters, {model.config.num_layers} blocks")


def explain(pictures, **options):
    return keras_vit.explain(
        model, pictures, preprocessing=whole, batch_size=1, **options
    )


# %% [markdown]
# ## What is alike has like colours
#
# After the last block each patch is 384 numbers. Their three main directions
# (*principal components*) become red, green and blue. What the model finds alike gets
# like colours.

# %%
show([one.image() for one in explain(photographs, method="components")])

# %% [markdown]
# With `foreground=True` the first direction separates the thing from what is behind
# it.

# %%
found = explain(photographs[1:], method="components", foreground=True)
show([one.image() for one in found])

# %% [markdown]
# ## Which patches are like this one?
#
# The ring marks a point, in pixels from the left and from the top. Yellow patches
# have numbers that point in the same direction as those of the patch in the ring.

# %%
# CHANGE THIS: the point.
[alike] = explain([photographs[1]], method="similarity", point=(300, 210))
alike

# %% [markdown]
# ## What do the heads read?
#
# In each block six *heads* read side by side. In the last block, the class token,
# which stands for the whole picture, reads this from the patches:

# %%
heads = range(model.config.num_heads)
read = [explain([portrait], method="attention", head=head)[0].image() for head in heads]
show(read, [f"head {head}" for head in heads], width=1.6)

# %% [markdown]
# ## Through all blocks
#
# What is read in the last block was read from elsewhere before. *Rollout* follows it
# back through all blocks.

# %%
[followed] = explain([portrait], method="rollout")
print(followed.alt_text)
followed

# %% [markdown]
# ## The length of tokens
#
# In large models a few tokens are many times as long as all others. They lie where
# there is little to see, and the model uses them as a notepad: *artefacts*
# ([arXiv:2309.16588](https://arxiv.org/abs/2309.16588)). This small model has none:
# the longest is hardly longer than the rest. Try `"facebook/dinov2-large"` here.

# %%
[norms] = explain([photographs[0]], method="token_norms")
lengths = norms.patches
print(f"median {np.median(lengths):.1f}, the longest {lengths.max():.1f}")
norms

# %% [markdown]
# ## Figure 7 of the ViT paper: what has been learned
#
# Left: what the first layer looks for in a patch: edges, colours. It is a *filter*
# each.

# %%
keras_vit.patch_filters(model)

# %% [markdown]
# Centre: each position of the grid compared with all others. Neighbours are alike,
# although nobody told the model which patches are neighbours.

# %%
positions = keras_vit.position_similarity(model)
places = [(3, 3), (3, 14), (14, 14), (24, 24)]
alike = [positions.values[row, column] for row, column in places]
show(alike, [f"row {row}, column {column}" for row, column in places])

# %% [markdown]
# Right: how far, in pixels, a head reads on average. In the first blocks some heads
# read nearby and some everywhere; later most read far.

# %%
near = keras_vit.load("facebook/dinov2-small", image_size=224)
keras_vit.attention_distance(near, photographs)

# %% [markdown]
# ## The features, for work of your own
#
# `embed` gives one row of numbers per picture, `features` the tokens of each block as
# a map.

# %%
print("per picture:", keras_vit.embed(near, photographs).shape)
maps = keras_vit.features(near, layers=[3, 7, 11])
for name, tokens in maps.output.items():
    print(name, tuple(tokens.shape))

# %% [markdown]
# ## Where to go on
#
# - `2_your_photographs` fits a head to these numbers.
# - `7_build_your_own_vit` builds the model from its layers.
