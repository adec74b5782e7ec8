"""Learn from another model. Shapes: B batch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_vit.distribution import Distribution, current
from keras_vit.output_activation import output_activation

DistillationKind = Literal["hard", "soft"]

_ANY_SIZE = 224  # pixels, of an image to try a teacher with


@dataclass(frozen=True)
class Distillation:
    """A student, a teacher and the loss between them.

    Args:
        student: the model that learns.
        teacher: runs in inference mode.
        kind: "hard" or "soft".
        alpha: share of the distillation loss, [0, 1].
        temperature: of "soft", above 0.
        activation: that the teacher ends with, "softmax" or None for logits.
        tokens: model from images to what two classifiers see; None if there is one.

    Reference: arXiv:2012.12877, section 4, equations 2 (soft) and 3 (hard).
    """

    student: Any
    teacher: Any
    kind: DistillationKind
    alpha: float
    temperature: float
    activation: str | None
    tokens: Any = None

    @classmethod
    def of(
        cls,
        student: keras.Model,
        teacher: keras.Model | None,
        kind: DistillationKind | None,
        alpha: float,
        temperature: float,
    ) -> Distillation | None:
        """Return the distillation that these options describe, None for none.

        Raises:
            ValueError: if they contradict each other, or the models do.
        """
        if kind not in ("hard", "soft", None):
            raise ValueError(
                "distillation must be one of ['hard', 'soft', None], received "
                f"distillation={kind!r}. Check the spelling."
            )
        check_teacher(teacher)
        if (kind is None) != (teacher is None):
            raise ValueError(
                "Distillation needs both a teacher and a kind, received teacher="
                f"{teacher and teacher.name!r}, distillation={kind!r}. Pass a Keras "
                "model as teacher and distillation='hard' or 'soft', or none of them."
            )
        if kind is None or teacher is None:
            return None
        if not 0 <= alpha <= 1:
            raise ValueError(
                "alpha must be at least 0 and at most 1, received "
                f"alpha={alpha!r}. It is the share of the distillation loss."
            )
        if not temperature > 0:
            raise ValueError(
                f"temperature must be above 0, received temperature={temperature!r}. "
                "DeiT uses 3 for soft distillation."
            )
        activation = _check_models(student, teacher)
        tokens = None
        if hasattr(_head(student), "both"):
            tokens = keras.Model(student.inputs[0], _head(student).input)
        return cls(student, teacher, kind, alpha, temperature, activation, tokens)

    def heads(self, images: Any) -> tuple[Any, Any]:
        """Return the logits that learn from the labels and those from the teacher.

        Both are the same tensor in a model without distillation token.
        """
        if self.tokens is None:
            logits = self.student(images, training=True)
            return logits, logits
        return _head(self.student).both(self.tokens(images, training=True))

    def loss(self, images: Any, logits: Any, weights: Any) -> Any:
        """Return the mean distillation loss, weighted per image.

        Args:
            images: (B, H, W, C).
            logits: of the student, (B, classes).
            weights: factor of the loss of each image, (B,), or None.
        """
        taught = ops.stop_gradient(self.teacher(images, training=False))
        taught = ops.cast(taught, "float32")
        logits = ops.cast(logits, "float32")
        if self.activation == "softmax":
            taught = ops.log(ops.maximum(taught, keras.config.epsilon()))
        values = distillation_loss(logits, taught, self.kind, self.temperature)
        if weights is not None:
            values = values * weights
        return ops.mean(values) / current().loss_divisor


def distillation_loss(
    student: Any, teacher: Any, kind: DistillationKind, temperature: float = 1.0
) -> Any:
    """Return the distillation loss of each image, (B,).

    "hard" is the cross-entropy with the class that the teacher prefers. "soft" is the
    Kullback-Leibler divergence at a temperature, times its square. DeiT's published
    code divides the latter by the number of classes, too, which its paper does not.

    Args:
        student: logits, (B, classes).
        teacher: logits, (B, classes).
        kind: "hard" or "soft".
        temperature: of "soft", above 0: logits are divided by it. Default 1.

    Example:
        ```python
        student = np.array([[2.0, 0.0], [0.0, 2.0]], "float32")
        teacher = np.array([[3.0, 0.0], [3.0, 0.0]], "float32")
        loss = keras_vit.training.distillation_loss(student, teacher, "hard")
        [round(float(one), 3) for one in loss]  # [0.127, 2.127]
        ```
    """
    if kind == "hard":
        classes = ops.argmax(teacher, axis=-1)
        targets = ops.one_hot(classes, student.shape[-1], dtype=student.dtype)
        return -ops.sum(targets * ops.log_softmax(student), axis=-1)
    ours = ops.log_softmax(student / temperature)
    theirs = ops.log_softmax(teacher / temperature)
    divergence = ops.sum(ops.exp(theirs) * (theirs - ours), axis=-1)
    return divergence * temperature**2


def _head(model: Any) -> Any:
    return model.layers[-1]


def check_teacher(teacher: Any) -> None:
    """Raise an error unless this is a Keras model with weights, or None."""
    if teacher is None:
        return
    if not isinstance(teacher, keras.Model):
        raise TypeError(
            "A teacher is a keras.Model, received "
            f"{type(teacher).__name__}. Load it first: keras_vit.load(...) or "
            "keras.models.load_model(...)."
        )
    if not teacher.built:
        raise ValueError(
            "The teacher must know something already, received a model that has no "
            f"weights yet, {teacher.name!r}. Load its weights or train it."
        )


def fingerprint(model: keras.Model, devices: Distribution) -> str:
    """Return a short hash of the weights of a model; call it on all processes."""
    digest = hashlib.sha256()
    for weight in model.weights:
        array = np.ascontiguousarray(devices.to_numpy(weight))
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.view("uint8").data)
    return digest.hexdigest()[:16]


def _check_models(student: keras.Model, teacher: keras.Model) -> str | None:
    """Raise an error if two models do not fit; return the teacher's activation."""
    if output_activation(student) is not None:
        raise ValueError(
            "Distillation needs a student that returns logits, received one that ends "
            f"with {output_activation(student)!r}. Build it with "
            "classifier_activation=None."
        )
    own = {id(weight) for weight in student.weights}
    if any(id(weight) in own for weight in teacher.weights):
        raise ValueError(
            "A teacher stays as it is while the student learns, received "
            f"{teacher.name!r}, which shares weights with it. Take a copy: "
            "copy = keras.models.clone_model(teacher), then "
            "copy.set_weights(teacher.get_weights())."
        )
    _check_images(student, teacher)
    theirs, activation = _outputs(teacher, student)
    if activation not in (None, "softmax"):
        raise ValueError(
            "Distillation needs a teacher that returns logits or a softmax, received "
            f"one that ends with {activation!r}. Use its logits."
        )
    ours = student.output_shape[-1]
    if ours == 1:
        raise ValueError(
            "Distillation needs one output per class, received a model with one, whose "
            "probability among itself is always 1. Build both with num_classes=2."
        )
    if ours != theirs:
        raise ValueError(
            "Teacher and student must have the same classes, received "
            f"{theirs} of the teacher and {ours} of the student."
        )
    return activation


def _outputs(teacher: Any, student: keras.Model) -> tuple[int, str | None]:
    """Return number of classes and activation of a teacher."""
    if getattr(teacher, "outputs", None):
        # Not `output_shape`, which shows a list or dictionary of one as that one.
        _check_output(teacher, teacher.compute_output_shape(teacher.input_shape))
        return teacher.output_shape[-1], output_activation(teacher)
    # A subclass of keras.Model shows what it returns, and nothing else.
    size = [size or _ANY_SIZE for size in student.input_shape[1:]]
    noise = np.random.default_rng(0).normal(size=(2, *size)).astype("float32")
    outputs = teacher(noise, training=False)
    _check_output(teacher, keras.tree.map_structure(lambda v: tuple(v.shape), outputs))
    values = ops.convert_to_numpy(outputs).astype("float32")
    sums = values.sum(axis=-1)
    is_softmax = values.min() >= 0 and np.allclose(sums, 1, atol=1e-2)
    return values.shape[-1], "softmax" if is_softmax else None


def _check_output(teacher: Any, shape: Any) -> None:
    """Raise a ValueError unless a teacher returns one tensor, (B, classes)."""
    is_one = isinstance(shape, tuple) and not any(isinstance(s, tuple) for s in shape)
    if not is_one or len(shape) != 2:
        raise ValueError(
            "A teacher must return one tensor of shape (B, classes), received "
            f"{teacher.name!r} with outputs of shape {shape}. Take its logits alone: "
            "keras.Model(inputs, teacher(inputs)[...])."
        )


def _check_images(student: keras.Model, teacher: Any) -> None:
    """Raise a ValueError unless the teacher takes the images of the student."""
    theirs = teacher.input_shape if getattr(teacher, "inputs", None) else ()
    sizes = zip(student.input_shape[1:], theirs[1:], strict=False)
    if any(None not in size and size[0] != size[1] for size in sizes):
        raise ValueError(
            "The teacher sees the images of the student and must take their size, "
            f"received input shapes {theirs} of the teacher and "
            f"{student.input_shape} of the student. Put a keras.layers.Resizing before "
            "the teacher: keras.Model(inputs, teacher(resizing(inputs)))."
        )
    scales = [_scale(model) for model in (student, teacher)]
    if None not in scales and scales[0] != scales[1]:
        raise ValueError(
            "The teacher sees the images of the student, received one with another "
            f"normalization (mean, std): {scales[1]}, the student has {scales[0]}. Use "
            "the same preprocessing, or put a keras.layers.Normalization before the "
            "teacher."
        )


def _scale(model: Any) -> Any:
    preprocessing = getattr(model, "preprocessing", None)
    return preprocessing and (preprocessing.mean, preprocessing.std)
