"""Which frames make a training example, and how often each is drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world_model.conftest import toy_bank
from worldvla.errors import UserError
from worldvla.training.device import generator
from worldvla.world_model.windows import draw, mixture, windows_of


@given(length=st.integers(5, 12), chunk=st.integers(1, 4), history=st.integers(1, 3))
def test_windows_stay_inside_their_episode(length, chunk, history):
    bank = toy_bank(episodes=3, length=length)
    windows = windows_of(bank, chunk, history)
    assert len(windows) == 3 * (length - chunk)
    episode_of_frame = bank.episode_of_frame()
    for frames in (windows.anchor[:, None], windows.history, windows.targets):
        assert (episode_of_frame[frames] == windows.episode[:, None]).all()
    assert (windows.targets[:, 0] == windows.history[:, -1] + 1).all()
    assert (np.diff(windows.history, axis=1) >= 0).all()


def test_a_bank_without_one_whole_chunk_is_refused():
    with pytest.raises(UserError, match="scene.chunk"):
        windows_of(toy_bank(length=4), chunk=4, history=2)


def test_an_absent_groups_share_goes_to_the_others_in_proportion():
    first = np.array([True, True, False, False])
    absent = np.zeros(4, dtype=bool)
    probabilities = mixture([(first, 0.4), (~first, 0.2), (absent, 0.4)])
    np.testing.assert_allclose(probabilities, [1 / 3, 1 / 3, 1 / 6, 1 / 6])


def test_sampling_that_gives_every_label_present_nothing_is_refused():
    with pytest.raises(UserError, match="fine_tuning.sampling"):
        mixture([(np.ones(3, dtype=bool), 0.0)])


def test_draws_follow_the_probabilities_and_the_generator():
    probabilities = np.array([0.0, 0.5, 0.25, 0.25])
    picked = draw(probabilities, 4000, generator(0, "dynamics", 1))
    np.testing.assert_array_equal(picked, draw(probabilities, 4000, generator(0, "dynamics", 1)))
    np.testing.assert_allclose(np.bincount(picked, minlength=4) / 4000, probabilities, atol=0.03)


def test_the_previous_chunk_ends_where_the_window_begins():
    windows = windows_of(toy_bank(episodes=3, length=12), chunk=4, history=2)
    index = np.flatnonzero(windows.has_previous_chunk(np.arange(len(windows))))
    before = windows.previous_chunk(index)
    assert len(index) == 3 * 4
    np.testing.assert_array_equal(windows.episode[before], windows.episode[index])
    np.testing.assert_array_equal(windows.targets[before][:, -2:], windows.history[index])
