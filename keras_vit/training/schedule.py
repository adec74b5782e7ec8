"""The learning rate by step: warm-up, a curve, cooldown."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import keras
from keras import ops

from keras_vit.own_arguments import own_arguments

Curve = Literal["cosine", "linear", "rsqrt", "constant"]


@keras.saving.register_keras_serializable(package="keras_vit")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Grow linearly from 0, then follow a curve to the last step.

    Step s is the number of updates made before, so the first update has step 0 and,
    with a warm-up, changes nothing.

    Args:
        learning_rate: highest value, reached after the warm-up, above 0.
        total_steps: number of steps of the whole training, at least 1. Later steps
            have the value of this one.
        warmup_steps: number of steps of linear growth from 0, at least 0 and at most
            `total_steps`. Default 0.
        curve: "cosine" (default) and "linear" fall to `final_learning_rate` at
            `total_steps`; "rsqrt" falls with the inverse square root of the steps after
            the warm-up, and "constant" does not fall.
        final_learning_rate: of "cosine" and "linear" at the end, at least 0.
            Default 0.
        timescale: of "rsqrt", in steps: after so many the value has fallen to
            1 / sqrt(2), above 0. Default 10000.
        cooldown_steps: number of last steps over which the value falls linearly to 0 as
            well, at least 0. Default 0.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> schedule = keras_vit.training.WarmupSchedule(0.5, 100, warmup_steps=10)
        >>> [round(float(schedule(step)), 3) for step in (0, 5, 10, 55, 100)]
        [0.0, 0.25, 0.5, 0.25, 0.0]

    Reference: arXiv:1608.03983, equation 5 (cosine); arXiv:2106.04560, section 3.5
    (rsqrt and cooldown); google-research/big_vision, utils.py,
    create_learning_rate_schedule.
    """

    def __init__(
        self,
        learning_rate: float,
        total_steps: int,
        warmup_steps: int = 0,
        curve: Curve = "cosine",
        final_learning_rate: float = 0.0,
        timescale: int = 10_000,
        cooldown_steps: int = 0,
    ) -> None:
        super().__init__()
        if curve not in get_args(Curve):
            raise ValueError(
                f"curve must be one of {list(get_args(Curve))}, received "
                f"curve={curve!r}. Check the spelling."
            )
        for name, value, low in (
            ("total_steps", total_steps, 1),
            ("warmup_steps", warmup_steps, 0),
            ("cooldown_steps", cooldown_steps, 0),
            ("timescale", timescale, 1),
        ):
            if not value >= low:
                raise ValueError(
                    f"{name} must be at least {low}, received {name}={value!r}."
                )
        if warmup_steps + cooldown_steps > total_steps:
            raise ValueError(
                "warmup_steps and cooldown_steps must fit into total_steps, received "
                f"warmup_steps={warmup_steps}, cooldown_steps={cooldown_steps}, "
                f"total_steps={total_steps}. Train longer or warm up for less."
            )
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.curve = curve
        self.final_learning_rate = final_learning_rate
        self.timescale = timescale
        self.cooldown_steps = cooldown_steps

    def __call__(self, step: Any) -> Any:
        step = ops.minimum(ops.cast(step, "float32"), float(self.total_steps))
        decaying = ops.maximum(step - float(self.warmup_steps), 0.0)
        rate = self._curve(decaying)
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, step / float(self.warmup_steps))
        if self.cooldown_steps:
            left = float(self.total_steps) - step
            rate = rate * ops.minimum(1.0, left / float(self.cooldown_steps))
        return rate

    def _curve(self, decaying: Any) -> Any:
        peak, low = self.learning_rate, self.final_learning_rate
        share = decaying / float(max(1, self.total_steps - self.warmup_steps))
        if self.curve == "cosine":
            return low + (peak - low) * 0.5 * (1.0 + ops.cos(math.pi * share))
        if self.curve == "linear":
            return low + (peak - low) * (1.0 - share)
        if self.curve == "rsqrt":
            return peak / ops.sqrt(1.0 + decaying / float(self.timescale))
        return peak + 0.0 * decaying

    def get_config(self) -> dict[str, Any]:
        return own_arguments(self)
