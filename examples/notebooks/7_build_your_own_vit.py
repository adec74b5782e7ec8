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
# # Build your own Vision Transformer, as the paper reads
#
# The paper is "An Image is Worth 16x16 Words"
# ([arXiv:2010.11929](https://arxiv.org/abs/2010.11929)). Keep it open beside this
# notebook: we go through its figure 1 from left to right, with its four equations,
# train what we have built, look at it as figures 6 and 7 do, and end where the model
# has the same output as `keras_vit.ViT`, number by number.
#
# You need to know Keras, and nothing of transformers. It takes about a minute.

# %%
import os

# CHANGE THIS if you like: "tensorflow", "jax" or "torch".
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_vit
from keras_vit import MLPHead, PatchEncoder, Patches, TransformerBlock
from keras_vit.layers import MLP, ClassTokenPooling, LayerNormalization, SelfAttention

keras.utils.set_random_seed(0)
print("on", keras.backend.backend())

# %% [markdown]
# ## Something to look at
#
# 1,797 handwritten digits come with the package. They have 8 x 8 pixels in grey; we
# enlarge them to 16 x 16 and bring their values into [-1, 1].
#
# The letters of the paper: an image has H rows, W columns and C channels; here 16,
# 16, 1.

# %%
data = keras_vit.load_data("digits")
read = keras_vit.Preprocessing(image_size=16, channels=1)
train_images = np.stack([read(picture) for picture in data.train.pictures()])
test_images = np.stack([read(picture) for picture in data.test.pictures()])
print(train_images.shape, test_images.shape)  # (B, H, W, C), B for batch

# %% [markdown]
# ## Figure 1, bottom: an image becomes a sequence of patches
#
# A transformer reads sequences: words of a sentence. An image is made one by cutting
# it into squares of P x P pixels, *patches*, row by row. There are N = H W / P² of
# them. Each is laid out flat, P² C numbers (section 3.1 of the paper).

# %%
PATCH = 4  # P, pixels
patches = Patches(PATCH)
sequence = keras.ops.convert_to_numpy(patches(test_images[:1]))
print(sequence.shape)  # (B, N, P * P * C)

# %%
figure = plt.figure(figsize=(8, 2))
whole, row = figure.subfigures(1, 2, width_ratios=(1, 3))
whole.subplots().imshow(test_images[0], cmap="gray")
whole.axes[0].axis("off")
for number, axis in enumerate(row.subplots(2, 8).flat):
    axis.imshow(sequence[0, number].reshape(PATCH, PATCH), cmap="gray", vmin=-1, vmax=1)
    axis.set_title(str(number + 1), fontsize=8)
    axis.axis("off")

# %% [markdown]
# ## Equation 1: from patches to tokens
#
# $$z_0 = [x_{class};\; x_p^1 E;\; x_p^2 E; \cdots;\; x_p^N E] + E_{pos}$$
#
# Three things happen, all of them learned:
#
# - $E$, a matrix, projects each flat patch to D numbers, a *token*.
# - One more token stands before them, the *class token* (the star in the figure). It
#   has no patch. At the end the answer is read from it.
# - To each token its *position* is added, D numbers for each place, because a
#   transformer does not know which patch stands where.
#
# `PatchEncoder` is this equation.

# %%
WIDTH = 48  # D
encoder = PatchEncoder(WIDTH, name="patch_encoder")
tokens = encoder(sequence)
print(tuple(tokens.shape))  # (B, N + 1, D)

# %% [markdown]
# By hand it is three lines, with the same result:

# %%
E, bias = (keras.ops.convert_to_numpy(w) for w in encoder.projection.weights)
[x_class] = (keras.ops.convert_to_numpy(w) for w in encoder.class_token.weights)
[E_pos] = (keras.ops.convert_to_numpy(w) for w in encoder.position_embedding.weights)

projected = sequence @ E + bias
z0 = np.concatenate([x_class.reshape(1, 1, WIDTH), projected], axis=1)
z0 = z0 + E_pos.reshape(1, -1, WIDTH)
print("largest difference:", np.abs(z0 - keras.ops.convert_to_numpy(tokens)).max())

# %% [markdown]
# ## Figure 1, right: the transformer encoder
#
# L equal blocks stand one above the other. In each of them two things happen:
#
# $$z'_l = \mathrm{MSA}(\mathrm{LN}(z_{l-1})) + z_{l-1} \qquad (2)$$
# $$z_l = \mathrm{MLP}(\mathrm{LN}(z'_l)) + z'_l \qquad (3)$$
#
# - **MSA**, multi-head self-attention: each token reads from all tokens. It decides
#   how much it reads from each; these shares add up to 1. *Heads* do so side by side,
#   each in its own way.
# - **MLP**: two dense layers that change each token for itself.
# - **LN**, layer normalization: it brings the D numbers of a token to mean 0 and
#   variance 1.
# - The **+** keeps what was there before, and adds what is new.

# %%
HEADS, WIDE = 4, 96  # heads; width of the MLP between its two layers
block = TransformerBlock(SelfAttention(WIDTH, HEADS), MLP(WIDTH, WIDE))
print(tuple(block(tokens).shape))  # (B, N + 1, D), as before

# %% [markdown]
# A block is handed its attention and its MLP, so you can put in layers of your own.
# Written out it is equations 2 and 3:

# %%
z = block.attention(block.attention_norm(tokens)) + tokens  # equation 2
z = block.mlp(block.mlp_norm(z)) + z  # equation 3
difference = keras.ops.max(keras.ops.abs(z - block(tokens)))
print("largest difference:", float(difference))

# %% [markdown]
# ## Figure 1, top: the head, and the whole model
#
# $$y = \mathrm{LN}(z_L^0) \qquad (4)$$
#
# After L blocks only the class token, number 0, is kept. The *MLP head* makes of it
# one number per class, the *logits*. Keras's functional style reads as the figure
# does, from bottom to top:

# %%
LAYERS, CLASSES = 3, 10  # L, and the digits 0 to 9

images = keras.Input((16, 16, 1))
x = Patches(PATCH)(images)  # (B, 16, 16)
x = PatchEncoder(WIDTH, name="patch_encoder")(x)  # (B, 17, 48), equation 1
for number in range(LAYERS):
    attention, mlp = SelfAttention(WIDTH, HEADS), MLP(WIDTH, WIDE)
    x = TransformerBlock(attention, mlp, name=f"block_{number}")(x)  # equations 2, 3
x = LayerNormalization(name="norm")(x)
x = ClassTokenPooling()(x)  # (B, 48), equation 4
logits = MLPHead(CLASSES)(x)  # (B, 10)
model = keras.Model(images, logits)
model.summary()

# %% [markdown]
# ## Train it
#
# It is a Keras model like any other: `compile`, `fit`.

# %%
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.AdamW(2e-3), loss, metrics=["accuracy"])
history = model.fit(
    train_images,
    np.asarray(data.train.labels),
    validation_data=(test_images, np.asarray(data.test.labels)),
    batch_size=64,
    epochs=15,
    verbose=0,
)
print("right on", round(history.history["val_accuracy"][-1], 3), "of the test digits")

# %%
plt.figure(figsize=(6, 2.5))
for name in ("accuracy", "val_accuracy"):
    plt.plot(history.history[name], label=name)
plt.xlabel("epoch")
plt.legend()
plt.show()

# %% [markdown]
# The paper's point is in its figures 3 and 4: with few pictures a Vision Transformer
# learns less than a convolutional network, with very many it learns more. That is why
# one begins with weights that others trained on millions of pictures
# (`2_your_photographs`).
#
# ## Figure 6: what does the class token look at?
#
# We ask each block how much a token reads from each other one. Per block, the mean
# over heads and the share of 1/2 that a token keeps of itself; then all blocks
# multiplied: *attention rollout*, which the paper uses (appendix D.7).


# %%
def rollout(pictures):
    tokens = model.get_layer("patch_encoder")(patches(pictures))
    through = np.eye(tokens.shape[1])
    for number in range(LAYERS):
        block = model.get_layer(f"block_{number}")
        tokens, scores = block(tokens, return_attention_scores=True)
        scores = keras.ops.convert_to_numpy(scores).mean(axis=1)  # (B, T, T)
        through = (scores / 2 + np.eye(tokens.shape[1]) / 2) @ through
    return through[:, 0, 1:].reshape(
        -1, 4, 4
    )  # what the class token read of each patch


# %%
shown = test_images[:6]
figure, axes = plt.subplots(2, 6, figsize=(8, 2.8))
for picture, seen, (above, below) in zip(shown, rollout(shown), axes.T, strict=True):
    above.imshow(picture, cmap="gray")
    below.imshow(seen, cmap="viridis")
    above.axis("off")
    below.axis("off")

# %% [markdown]
# Yellow patches were read most.
#
# ## Figure 7, left: the filters of the patch projection
#
# The columns of $E$, seen as pictures of P x P pixels, have a few main directions.
# The paper shows the first 28 of RGB patches; ours have 16 numbers, so there are 16.

# %%
E = keras.ops.convert_to_numpy(model.get_layer("patch_encoder").projection.kernel)
components = np.linalg.svd(E - E.mean(axis=1, keepdims=True))[0].T
figure, axes = plt.subplots(2, 8, figsize=(8, 2))
for component, axis in zip(components, axes.flat, strict=True):
    axis.imshow(component.reshape(PATCH, PATCH), cmap="gray")
    axis.axis("off")

# %% [markdown]
# ## Figure 7, centre: which positions are alike?
#
# For each position its cosine with all others: 1 is the same direction, yellow.
# Nobody told the model that patches stand in rows and columns. After a short training
# on few digits it is only a hint; in the paper's models, and in
# `4_look_inside_dinov2`, it is clear.

# %%
[positions] = model.get_layer("patch_encoder").position_embedding.weights
positions = keras.ops.convert_to_numpy(positions).reshape(-1, WIDTH)[1:]
positions = positions / np.linalg.norm(positions, axis=1, keepdims=True)
figure, axes = plt.subplots(4, 4, figsize=(3.6, 3.6))
for similarity, axis in zip(positions @ positions.T, axes.flat, strict=True):
    axis.imshow(similarity.reshape(4, 4), vmin=-1, vmax=1)
    axis.axis("off")

# %% [markdown]
# ## Table 1: the sizes of the paper
#
# Larger models differ in these numbers only. `keras_vit.VARIANTS` holds them.

# %%
for name in ("B/16", "L/16", "H/14"):
    config = keras_vit.ViTConfig.from_variant(name)
    print(
        f"ViT-{name}: layers {config.num_layers}, D {config.hidden_dim}, "
        f"MLP {config.mlp_dim}, heads {config.num_heads}"
    )

# %% [markdown]
# ## The end: the same as `keras_vit.ViT`
#
# `keras_vit.ViT` is the model that you have built. Given your weights it gives your
# numbers.

# %%
theirs = keras_vit.ViT(
    image_size=16,
    patch_size=PATCH,
    channels=1,
    num_classes=CLASSES,
    hidden_dim=WIDTH,
    num_layers=LAYERS,
    num_heads=HEADS,
    mlp_dim=WIDE,
)
theirs.set_weights(model.get_weights())

mine = model.predict(test_images, verbose=0)
difference = np.abs(mine - theirs.predict(test_images, verbose=0)).max()
print("logits of", len(test_images), "digits; largest difference:", difference)
assert difference < 1e-5

# %% [markdown]
# Now all of the package works on it: `keras_vit.explain`, `export`, `evaluate`, and
# the figures above in a line each: `keras_vit.patch_filters(theirs)`,
# `keras_vit.position_similarity(theirs)`.
#
# Change something now: no positions (`position_embedding=keras.layers.Identity()`),
# one head, an attention of your own, and see what it does to the accuracy.
