"""Learn from pictures without labels first, then from a few labels.

A masked autoencoder hides three quarters of the patches of each picture. The blocks of
a ViT see the others alone; a small decoder, thrown away afterwards, paints the hidden
ones. What the ViT has to know for that helps it when there are few labels: the script
trains the same classifier from random weights and from those, and prints both
accuracies on the test part.

Source: He et al. 2021, arXiv:2111.06377, figure 1 and sections 3 and 4.
Command: KERAS_BACKEND=jax python examples/mae.py
    python examples/mae.py --data photos/ --image-size 64 --patch-size 8
Expected: two minutes on two cores; docs/research.md has the gain over several seeds.
`--output mae.keras` keeps the ViT for `keras_vit.load("mae.keras", num_classes=10)`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

import keras_vit
from keras_vit import layers


class MaskedAutoencoder(keras.Model):
    """A ViT that sees some patches, and a decoder that paints the others.

    `fit` it on images alone or on (images, labels): labels are not read. The ViT is
    trained in place. B images, N patches, T tokens, D hidden.
    """

    def __init__(
        self,
        vit: keras_vit.ViT,
        mask_ratio: float = 0.75,
        decoder_dim: int = 64,
        decoder_layers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.vit, self.num_patches = vit, vit.config.num_patches
        self.num_prefix = vit.config.num_prefix_tokens  # The class token, if any.
        self.num_kept = max(1, round(self.num_patches * (1 - mask_ratio)))
        self.generator = keras.random.SeedGenerator(seed)
        self.to_decoder = keras.layers.Dense(decoder_dim)
        self.positions = layers.PositionEmbedding()
        self.decoder = [
            layers.TransformerBlock(
                layers.SelfAttention(decoder_dim, num_heads=4),
                layers.MLP(decoder_dim, 4 * decoder_dim),
            )
            for _ in range(decoder_layers)
        ]
        self.decoder_norm = layers.LayerNormalization()
        self.to_pixels = keras.layers.Dense(vit.get_layer("patches").output.shape[-1])
        self.mask_token = self.add_weight(
            shape=(1, 1, decoder_dim),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="mask_token",
        )

    def encode(self, images: Any, order: Any) -> Any:
        """Return the tokens of the first patches in `order`, (B, prefix + kept, D)."""
        patches = self.vit.get_layer("patches")(images)
        tokens = self.vit.get_layer("patch_encoder")(patches)  # Positions are in.
        kept = order[:, : self.num_kept, None] + self.num_prefix
        seen = ops.take_along_axis(tokens, kept, axis=1)  # (B, kept, D)
        tokens = ops.concatenate([tokens[:, : self.num_prefix], seen], axis=1)
        for i in range(self.vit.config.num_layers):
            tokens = self.vit.get_layer(f"block_{i}")(tokens)
        return self.vit.get_layer("norm")(tokens)

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        shape = (ops.shape(images)[0], self.num_patches)
        order = ops.argsort(keras.random.uniform(shape, seed=self.generator), axis=1)
        place = ops.argsort(order, axis=1)  # Where in `order` each patch is.
        tokens = self.to_decoder(self.encode(images, order))
        missing = self.num_patches - self.num_kept
        masks = ops.repeat(ops.zeros_like(tokens[:, :1]), missing, axis=1)
        prefix, seen = tokens[:, : self.num_prefix], tokens[:, self.num_prefix :]
        whole = ops.concatenate([seen, masks + self.mask_token], axis=1)
        whole = ops.take_along_axis(whole, place[..., None], axis=1)  # (B, N, D)
        tokens = self.positions(ops.concatenate([prefix, whole], axis=1))
        for block in self.decoder:
            tokens = block(tokens)
        painted = self.to_pixels(self.decoder_norm(tokens[:, self.num_prefix :]))
        return {"patches": painted, "hidden": ops.cast(place >= self.num_kept, "int32")}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *rest: Any, **more: Any
    ) -> Any:
        target = self.vit.get_layer("patches")(x)
        return masked_loss(target, y_pred["patches"], y_pred["hidden"])


def masked_loss(target: Any, painted: Any, hidden: Any) -> Any:
    """Return the mean squared error over the pixels of the hidden patches."""
    hidden = ops.cast(hidden, painted.dtype)
    error = ops.mean(ops.square(painted - target), axis=-1)  # (B, N)
    return ops.sum(error * hidden) / ops.sum(hidden)


def pretrain(vit: keras_vit.ViT, part: Any, seed: int, epochs: int) -> None:
    """Train a ViT on the pictures of a part, whose labels are not read."""
    batches = part.batches(vit.preprocessing, 64, training=True, seed=seed)
    model = MaskedAutoencoder(vit, seed=seed)
    how = {"learning_rate": 2e-3, "warmup_epochs": epochs / 20, "beta_2": 0.95}
    recipe = keras_vit.Recipe(epochs=epochs, **how)
    model.compile(recipe.optimizer(steps_per_epoch=len(batches)))
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0)


def with_few_labels(data: Any, count: int, seed: int) -> Any:
    """Return the data with `count` training pictures of each class."""
    order = np.random.default_rng(seed).permutation(len(data.train))
    labels = data.train.labels[order]
    places = [order[labels == label][:count] for label in range(data.num_classes)]
    few = data.train.subset(data.train.indices[np.concatenate(places)])
    return replace(data, train=few)


def measure(seed: int, options: Any) -> tuple[float, float]:
    """Return the accuracies on the test part, from random weights and after MAE."""
    parts = {"validation_fraction": 0.0, "test_fraction": 1 / 3}
    data = keras_vit.load_data(options.data, seed=seed, **parts)
    few = with_few_labels(data, options.labels, seed)
    recipe, epochs = keras_vit.RECIPES["small_data"], options.fine_tune_epochs
    warmup = min(recipe.warmup_epochs, epochs / 20)
    recipe = replace(recipe, epochs=epochs, warmup_epochs=warmup, seed=seed)
    keras.utils.set_random_seed(seed)
    size = {
        "image_size": options.image_size,
        "channels": 1 if options.data == "digits" else 3,
    }
    vit = keras_vit.ViT.from_variant(
        "digits",
        patch_size=options.patch_size,
        num_classes=None,
        preprocessing=keras_vit.Preprocessing(**size),
        **size,
    )

    def accuracy() -> float:
        classifier = keras_vit.replace_head(vit, data.num_classes)
        keras_vit.train(classifier, few, recipe, verbose=0)
        return keras_vit.evaluate(classifier, few).accuracy

    scratch = accuracy()
    pretrain(vit, data.train, seed, options.epochs)
    if options.output:
        keras_vit.save(vit, options.output, overwrite=True)
    return scratch, accuracy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="as keras_vit.load_data")
    parser.add_argument("--labels", type=int, default=5, help="per class")
    parser.add_argument("--image-size", type=int, default=16, help="pixels")
    parser.add_argument("--patch-size", type=int, default=4, help="pixels")
    parser.add_argument("--epochs", type=int, default=150, help="without labels")
    parser.add_argument("--fine-tune-epochs", type=int, default=300, help="with labels")
    parser.add_argument("--seeds", type=int, default=1, help="how many runs")
    parser.add_argument("--output", help="file for the ViT, such as mae.keras")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds is at least 1.")
    runs = []
    for seed in range(options.seeds):
        scratch, after = measure(seed, options)
        runs.append((scratch, after, after - scratch))
        print(f"seed {seed}: {scratch:.3f} from scratch, {after:.3f} after MAE")
    for name, found in zip(("scratch", "MAE", "gain"), np.transpose(runs), strict=True):
        spread = np.std(found, ddof=1) if len(found) > 1 else np.nan
        print(f"{name}: mean {np.mean(found):.3f}, standard deviation {spread:.3f}")


if __name__ == "__main__":
    main()
