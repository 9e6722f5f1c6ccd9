"""Which frames make a training example, and how often each is drawn."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world_model.conftest import toy_bank
from worldvla.errors import UserError
from worldvla.training.device import generator
from worldvla.world_model.windows import draw, mixture, windows_of


@given(length=st.integers(5, 12), frames=st.integers(1, 2), stride=st.integers(1, 2), history=st.integers(1, 3))
def test_windows_stay_inside_their_episode(length, frames, stride, history):
    bank, chunk = toy_bank(episodes=3, length=length), frames * stride
    windows = windows_of(bank, chunk, history, stride)
    assert len(windows) == 3 * (length - chunk)
    episode_of_frame = bank.episode_of_frame()
    for frames in (windows.anchor[:, None], windows.history, windows.targets):
        assert (episode_of_frame[frames] == windows.episode[:, None]).all()
    assert (windows.targets[:, 0] == windows.history[:, -1] + stride).all()
    assert (np.diff(windows.targets, axis=1) == stride).all()
    steps_back = np.diff(windows.history, axis=1)
    assert ((steps_back >= 0) & (steps_back <= stride)).all()
    actions = windows.actions(np.arange(len(windows)))
    assert actions.shape == (len(windows), chunk)
    assert (actions[:, 0] == windows.history[:, -1]).all() and (actions[:, -1] + 1 == windows.targets[:, -1]).all()


def test_a_bank_without_one_whole_chunk_is_refused():
    with pytest.raises(UserError, match="scene.chunk"):
        windows_of(toy_bank(length=4), chunk=4, history=2, stride=2)


def test_an_absent_groups_share_goes_to_the_others_in_proportion():
    first = np.array([True, True, False, False])
    absent = np.zeros(4, dtype=bool)
    probabilities = mixture([(first, 0.4), (~first, 0.2), (absent, 0.4)], np.ones(4))
    np.testing.assert_allclose(probabilities, [1 / 3, 1 / 3, 1 / 6, 1 / 6])


def test_episodes_count_alike_however_seldom_they_were_drawn():
    bank = replace(toy_bank(episodes=2, length=13), camera_strides=np.array([1, 4]))
    windows = windows_of(bank, chunk=4, history=2, stride=4)
    probabilities = mixture([(np.ones(len(windows), dtype=bool), 1.0)], windows.weight)
    of_sparse = windows.episode == 1
    assert probabilities[of_sparse].sum() == pytest.approx(12 / 21)  # three windows of weight 4 beside nine of 1
    seen = probabilities > 0
    assert seen[~of_sparse].all() and seen.sum() == 9 + 3
    drawn = bank.drawn()
    for frames in (windows.anchor, windows.history, windows.targets):
        assert drawn[frames[seen]].all()
    assert (windows.first_chunk(np.flatnonzero(seen & of_sparse)) == np.flatnonzero(of_sparse)[0]).all()


def test_sampling_that_gives_every_label_present_nothing_is_refused():
    with pytest.raises(UserError, match="fine_tuning.sampling"):
        mixture([(np.ones(3, dtype=bool), 0.0)], np.ones(3))


def test_draws_follow_the_probabilities_and_the_generator():
    probabilities = np.array([0.0, 0.5, 0.25, 0.25])
    picked = draw(probabilities, 4000, generator(0, "dynamics", 1))
    np.testing.assert_array_equal(picked, draw(probabilities, 4000, generator(0, "dynamics", 1)))
    np.testing.assert_allclose(np.bincount(picked, minlength=4) / 4000, probabilities, atol=0.03)


def test_chunks_follow_each_other_to_the_episodes_end():
    windows = windows_of(toy_bank(episodes=3, length=12), chunk=4, history=2, stride=2)
    index = np.arange(len(windows))
    after, there = windows.next_chunk(index)
    assert there.sum() == 3 * 4
    np.testing.assert_array_equal(windows.episode[after[there]], windows.episode[there])
    np.testing.assert_array_equal(windows.targets[there][:, -2:], windows.history[after[there]])
    first = windows.first_chunk(index)
    np.testing.assert_array_equal(windows.episode[first], windows.episode)
    assert (windows.history[first, -1] - windows.anchor[first] < 4).all()
    assert ((windows.history[index, -1] - windows.history[first, -1]) % 4 == 0).all()


def test_a_success_between_imagined_frames_counts_for_the_next_one():
    bank = toy_bank(episodes=2, length=9)
    bank.reward[:] = 0
    bank.reward[3] = 1
    windows = windows_of(bank, chunk=4, history=2, stride=4)
    first = windows.targets[windows.succeeds][:, 0]
    assert first.tolist() == [4, 5, 6]
    seen = bank.highest(bank.reward, 4)
    assert np.flatnonzero(seen).tolist() == [3, 4, 5, 6]
    bank.reward[8] = 1
    assert bank.highest(bank.reward, 4)[9] == 0, "another episode's"
