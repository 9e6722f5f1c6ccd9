"""The rollouts and the training inside a world model that is real, if barely trained."""

import numpy as np
import pytest

from tests.sight import untrained_sight
from tests.world_model.conftest import CHUNK, IMAGE_SIZE, STRIDE, toy_architecture, toy_bank
from worldvla.config import Imagination, PolicyArchitecture
from worldvla.policy.vla import Policy
from worldvla.rl.starts import StartStates
from worldvla.rl.training import train
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.training import pretrain

MAX_STEPS = 8


@pytest.fixture(scope="module")
def bank():
    return toy_bank()


@pytest.fixture(scope="module")
def model(bank):
    return pretrain(bank, untrained_sight(), toy_architecture(4, 4), CHUNK, 0, Checkpointer(None), ignore)


@pytest.fixture
def starts(bank) -> StartStates:
    rows = [{"episode_id": f"{index:04d}", "step": 0, "kind": "start", "task": "toy"} for index in range(3)]
    rows.append({"episode_id": "0000", "step": 4, "kind": "near_failure", "task": "toy"})
    return StartStates.from_bank(bank, rows, 2, STRIDE, 0.25)


def unsure(images: np.ndarray) -> np.ndarray:
    """A judge that goes by brightness, which is noise in a barely trained world model."""
    return (images.mean(axis=(1, 2, 3)) / 255 > 0.5).astype(np.float32)


def policy_of(chunk: int) -> Policy:
    architecture = PolicyArchitecture(
        image_size=IMAGE_SIZE,
        patch=8,
        width=32,
        vision_layers=1,
        language_layers=1,
        heads=2,
        bins=5,
        steps=1,
        batch_size=1,
        learning_rate=1e-3,
        label_smoothing=0.0,
    )
    return Policy.create(architecture, chunk, seed=0)


def test_training_is_repeatable_and_counts_what_it_imagined(model, starts, rl):
    rl = rl.model_copy(update={"updates": 2, "groups": 2, "group_size": 4})
    imagination = Imagination(denoising_steps=2)
    arguments = (policy_of(CHUNK), model, starts, rl, imagination, unsure, CHUNK, MAX_STEPS, 0, Checkpointer(None))
    first, second = train(*arguments), train(*arguments)
    assert first.policy.to_bytes() == second.policy.to_bytes()
    assert first.imagined_steps == second.imagined_steps
    # Two updates, and once each policy as it is deployed.
    assert 0 < first.imagined_steps <= 4 * 2 * 4 * MAX_STEPS and first.imagined_steps % CHUNK == 0
    assert first.real_steps == 0


def test_the_judge_may_give_the_reward(model, starts, rl):
    rl = rl.model_copy(update={"updates": 1, "groups": 2, "group_size": 4, "reward": "judge"})
    imagination = Imagination(denoising_steps=1)
    arguments = (policy_of(CHUNK), model, starts, rl, imagination)

    def always(images: np.ndarray) -> np.ndarray:
        return np.ones(len(images), np.float32)

    for judge, share in ((always, 1.0), (lambda images: 0 * always(images), 0.0)):
        result = train(*arguments, judge, CHUNK, MAX_STEPS, 0, Checkpointer(None))
        assert result.history[0]["imagined_success"] == share == result.history[0]["shown_success"]


def test_a_chunk_that_the_world_model_does_not_imagine_is_refused(model, starts, rl):
    with pytest.raises(ValueError, match="chunk"):
        train(
            policy_of(2 * CHUNK),
            model,
            starts,
            rl,
            Imagination(denoising_steps=1),
            unsure,
            CHUNK,
            MAX_STEPS,
            0,
            Checkpointer(None),
        )
