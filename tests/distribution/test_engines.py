"""Each engine against one device with the same global batches, in child processes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

BACKEND = keras.backend.backend()
SEVERAL_DEVICES = {
    "tensorflow": ["mirrored"],
    "jax": ["data_parallel", "model_parallel"],
    "torch": [],
}[BACKEND]
ENGINES = [*SEVERAL_DEVICES, "processes"]


@pytest.fixture
def engine(ran):
    """Results of an engine, of rank 0 and of all ranks, and those of one device."""

    def get(name):
        ranks = ran(name, 2 if name == "processes" else 1)
        assert all(rank["code"] == 0 for rank in ranks), ranks
        single = ran(SEVERAL_DEVICES[0] if SEVERAL_DEVICES else "single")
        return ranks, single[0]["single"]

    return get


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("optimizer", "bound"), [("sgd", 1e-5), ("adamw", 1e-4)])
def test_weights_equal_those_of_one_device(engine, name, optimizer, bound):
    # "adamw": with average, clipping and two micro-batches.
    ranks, single = engine(name)
    expected = np.array(single[optimizer]["weights"])
    for rank in ranks:
        difference = np.abs(np.array(rank[optimizer]["weights"]) - expected).max()
        assert difference / np.abs(expected).max() <= bound


@pytest.mark.parametrize("name", ENGINES)
def test_loss_and_metrics_equal_those_of_one_device_on_each_rank(engine, name):
    ranks, single = engine(name)
    for rank in ranks:
        for optimizer in ("sgd", "adamw"):
            for logs in ("history", "evaluated"):
                expected = single[optimizer][logs]
                assert rank[optimizer][logs].keys() == expected.keys()
                for key, value in expected.items():
                    found = rank[optimizer][logs][key]
                    np.testing.assert_allclose(found, value, rtol=1e-4, err_msg=key)
        assert rank["sgd"]["evaluated"] == ranks[0]["sgd"]["evaluated"]


@pytest.mark.parametrize("name", ENGINES)
def test_each_rank_predicts_all_images(engine, name):
    ranks, single = engine(name)
    for rank in ranks:
        np.testing.assert_allclose(
            *(rank["sgd"]["predicted"], single["sgd"]["predicted"]),
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize("name", ENGINES)
def test_each_replica_has_masks_of_its_own(engine, name):
    ranks, single = engine(name)
    masks = [tuple(mask) for rank in ranks for mask in rank["masks"]]
    # Two devices that share the weights of a replica share its images, too.
    replicas = 2 if name != "data_parallel" else 4
    assert len(set(masks)) == replicas
    # The first draws what a single device draws for its first images.
    assert list(masks[0]) == single["masks"][0][: len(masks[0])]


@pytest.mark.parametrize("name", ENGINES)
def test_the_seeds_stay_those_of_one_device_on_each_replica(engine, name):
    ranks, single = engine(name)
    for rank in ranks:
        assert all(replica == single["seeds"][0] for replica in rank["seeds"])


@pytest.mark.parametrize("name", ENGINES)
def test_a_model_that_is_no_training_model_is_told_how_to_become_one(engine, name):
    for rank in engine(name)[0]:
        for error in rank["plain"]:
            assert error.startswith("TypeError")
            assert "trained = keras_vit.training.TrainingModel(model)" in error


if BACKEND != "jax":  # whose CPU code has no float16

    @pytest.mark.parametrize("name", ENGINES)
    def test_an_overflow_on_one_replica_skips_the_step_on_all(engine, name):
        for rank in engine(name)[0]:
            assert rank["overflow"]["planted"] == [True, True, 0]
            assert rank["overflow"]["without"] == [False, True, 1]


if SEVERAL_DEVICES:

    @pytest.mark.parametrize("name", SEVERAL_DEVICES)
    def test_a_model_from_outside_the_scope_is_refused(engine, name):
        error = engine(name)[0][0]["refusals"]["outside"]
        assert error.startswith("ValueError") and "with keras_vit.distribute" in error

    @pytest.mark.parametrize("name", SEVERAL_DEVICES)
    def test_arrays_that_the_replicas_cannot_share_are_refused(engine, name):
        error = engine(name)[0][0]["refusals"]["odd batch"]
        assert error.startswith("ValueError: Each batch must be a multiple of")


if BACKEND == "tensorflow":

    @pytest.mark.parametrize(
        ("what", "advice"),
        [
            ("jit", "jit_compile=False"),
            ("accumulation", "TrainingModel"),
            ("overwrite", "Compile with None"),
            ("clipping", "optimizers of keras_vit.training"),
            ("scaling", "optimizers of keras_vit.training"),
        ],
    )
    def test_what_the_engine_cannot_do_is_refused(engine, what, advice):
        error = engine("mirrored")[0][0]["refusals"][what]
        assert error.startswith("ValueError") and advice in error


if BACKEND == "tensorflow":

    def test_optimizers_clip_the_sum_under_a_strategy_without_scope(engine):
        several, single = (np.array(w) for w in engine("mirrored")[0][0]["by hand"])
        assert np.abs(several - single).max() / np.abs(single).max() <= 1e-5


def test_processes_that_disagree_all_end_with_what_differs(engine):
    for rank in engine("processes")[0]:
        assert rank["same"] == "no error"
        assert "seed: 0 (process 0), 1 (process 1)" in rank["different"]


def test_processes_exchange_texts_of_any_length_without_warnings(engine):
    for rank in engine("processes")[0]:
        assert rank["exchanged"] == ["0" * 5000, "1" * 10000]
        assert "retracing" not in rank["output"]
        assert "CollectiveAllReduceStrategy eagerly" not in rank["output"]


def test_a_model_without_start_is_refused(engine):
    for rank in engine("processes")[0]:
        assert "distribution.start(model)" in rank["not started"]


if BACKEND == "torch":

    def test_an_optimizer_that_knows_no_other_processes_is_refused(engine):
        for rank in engine("processes")[0]:
            assert "optimizers of keras_vit.training" in rank["stock"]


def test_one_process_writes_and_the_others_wait_for_the_file(engine):
    ranks = engine("processes")[0]
    assert [rank["writer"] for rank in ranks] == [True, False]
    assert all(rank["file seen"] and rank["loaded"] for rank in ranks)


# An error in Python would leave the peers of TensorFlow waiting.
@pytest.mark.parametrize(
    "how", ["killed", "failed"] if BACKEND == "tensorflow" else ["killed"]
)
def test_all_end_when_one_process_dies(ran, how):
    ranks = ran(how, 2)
    assert not any(rank["hung"] for rank in ranks)
    assert all(rank["code"] != 0 for rank in ranks)
    assert all(rank["seconds after the first"] < 60 for rank in ranks)
    # The survivor says why.
    assert "Error" in ranks[0]["output"] or "abort" in ranks[0]["output"]
