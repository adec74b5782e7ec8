"""The learning rate by step."""

import keras
import numpy as np
import pytest

from keras_vit.training import WarmupSchedule
from tests.peers import import_timm


def rates(schedule: WarmupSchedule, steps: int = 101) -> np.ndarray:
    return np.array([float(schedule(step)) for step in range(steps)])


def timm_rates(scheduler: object, optimizer: object, steps: int = 101) -> np.ndarray:
    found = []
    for step in range(steps):
        scheduler.step_update(step)
        found.append(optimizer.param_groups[0]["lr"])
    return np.array(found)


def torch_sgd(rate: float):
    import torch

    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)


def test_the_cosine_is_that_of_timm():
    optimizer = torch_sgd(0.5)
    import_timm()
    from timm.scheduler.cosine_lr import CosineLRScheduler

    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=80,
        lr_min=0.01,
        warmup_t=20,
        warmup_lr_init=0.0,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    ours = WarmupSchedule(0.5, 100, 20, final_learning_rate=0.01)
    np.testing.assert_allclose(
        rates(ours)[:100], timm_rates(scheduler, optimizer)[:100], rtol=1e-5
    )


def test_the_line_is_that_of_numpy():
    ours = rates(WarmupSchedule(0.5, 100, 20, "linear", final_learning_rate=0.1))
    np.testing.assert_allclose(ours[20:], np.linspace(0.5, 0.1, 81), rtol=1e-5)
    np.testing.assert_allclose(ours[:21], np.linspace(0, 0.5, 21), atol=1e-6)


def test_rsqrt_and_cooldown_are_those_of_big_vision():
    step = np.arange(101)
    expected = 0.5 / np.sqrt(1 + np.maximum(step - 20, 0) / 50)
    expected *= np.minimum(1, step / 20) * np.minimum(1, (100 - step) / 10)
    ours = WarmupSchedule(0.5, 100, 20, "rsqrt", timescale=50, cooldown_steps=10)
    np.testing.assert_allclose(rates(ours), expected, rtol=1e-5, atol=1e-8)


def test_constant_stays_and_the_end_holds():
    ours = WarmupSchedule(0.5, 100, curve="constant")
    assert set(rates(ours)) == {0.5}
    assert float(WarmupSchedule(0.5, 100)(250)) == pytest.approx(0, abs=1e-7)


def test_the_config_round_trips():
    schedule = WarmupSchedule(0.5, 100, 20, "rsqrt", timescale=50, cooldown_steps=10)
    config = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(config)
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curve": "step"}, r"curve must be one of \['cosine'"),
        ({"warmup_steps": 101}, "Train longer or warm up for less"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0"),
        ({"timescale": 0}, "timescale must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WarmupSchedule(0.5, 100, **options)
