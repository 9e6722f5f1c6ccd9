import numpy as np
import pytest
import torch

from tests.alignment.pushing import SIZE, bank
from worldvla.alignment.judge import Judge, augment, train
from worldvla.config import Judge as JudgeConfig
from worldvla.errors import UserError
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import generator

SETTINGS = JudgeConfig(steps=60, batch_size=16, learning_rate=5e-3, channels=[8, 16])


class KilledAt(Exception):
    pass


def weights_of(judge):
    return judge.to_bytes()


@pytest.fixture(scope="module")
def judge():
    return train(bank(24), SETTINGS, SIZE, 0, Checkpointer(None))


def test_it_tells_outcomes_it_has_not_seen_apart(judge):
    unseen = bank(16, seed=1)
    said = judge.probabilities(unseen.images) >= 0.5
    assert (said == (unseen.reward > 0.5)).mean() > 0.9


def test_bytes_give_the_same_judge(judge):
    again = Judge.from_bytes(judge.config, judge.to_bytes())
    images = bank(2).images
    assert np.array_equal(again.probabilities(images), judge.probabilities(images))
    assert judge.probabilities(images[:0]).shape == (0,)


def test_a_killed_training_ends_at_the_same_weights(judge, tmp_path):
    def kill(step, metrics):
        if step >= 25:
            raise KilledAt

    with pytest.raises(KilledAt):
        train(bank(24), SETTINGS, SIZE, 0, Checkpointer(tmp_path, 0), kill)
    resumed = train(bank(24), SETTINGS, SIZE, 0, Checkpointer(tmp_path, 0))
    assert weights_of(resumed) == weights_of(judge)


def test_one_outcome_alone_is_refused():
    whole = bank(6)
    with pytest.raises(UserError, match="no training frame shows success"):
        train(whole.select(np.flatnonzero(~whole.success)), SETTINGS, SIZE, 0, Checkpointer(None))


def test_a_training_that_diverges_is_refused():
    wild = SETTINGS.model_copy(update={"learning_rate": 1e36})
    with pytest.raises(UserError, match="judge: the training diverged.*lower judge.learning_rate"):
        train(bank(6), wild, SIZE, 0, Checkpointer(None))


def test_augmentation_is_light_and_repeatable():
    pixels = torch.rand(4, 3, 16, 16, generator=generator(0, "pixels"))
    once, again = (augment(pixels, generator(0, "augment")) for _ in range(2))
    assert torch.equal(once, again)
    assert once.shape == pixels.shape and once.min() >= 0 and once.max() <= 1
