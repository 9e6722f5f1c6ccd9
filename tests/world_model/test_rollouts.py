"""Rollouts that go on from step to step of a training: along an episode, on what was imagined, shifted alike."""

import numpy as np
import torch

from tests.world_model.conftest import toy_bank
from worldvla.world_model.rollouts import Rollouts
from worldvla.world_model.windows import windows_of

CHUNK, HISTORY, STRIDE = 4, 3, 2


def step(rollouts: Rollouts, number: int):
    """One batch of six windows, drawn for its number, with latents that name the step and the row they came from."""
    random = np.random.default_rng(number)
    drawn = random.integers(len(rollouts.windows), size=6)
    index, offsets = rollouts.lead(drawn, torch.full((6, 2), number))
    going = rollouts.going()
    recent = torch.full((rollouts.count, HISTORY, 1, 2, 2), -1.0)
    if len(going):
        recent[going] = rollouts.recent()
    value = 10 * number + torch.arange(rollouts.count).float()
    imagined = value[:, None, None, None, None].expand(-1, CHUNK // STRIDE, 1, 2, 2)
    rollouts.advance(recent, imagined)
    return drawn, index, offsets, going, recent


def new_rollouts() -> Rollouts:
    return Rollouts(windows_of(toy_bank(episodes=5, length=15), CHUNK, HISTORY, STRIDE), 4)


def test_a_rollout_goes_on_until_its_episode_ends_and_another_begins():
    rollouts = new_rollouts()
    windows = rollouts.windows
    drawn, before, offsets, going, _ = step(rollouts, 0)
    np.testing.assert_array_equal(before, drawn)
    assert not len(going) and (offsets == 0).all()
    ended = 0
    for number in range(1, 12):
        after, there = windows.next_chunk(before[:4])
        shifted = offsets
        drawn, index, offsets, going, recent = step(rollouts, number)
        np.testing.assert_array_equal(going, np.flatnonzero(there))
        np.testing.assert_array_equal(index[:4], np.where(there, after, windows.first_chunk(drawn[:4])))
        np.testing.assert_array_equal(index[4:], drawn[4:])
        assert (offsets[going] == shifted[going]).all()
        new = np.flatnonzero(~there)
        assert (offsets[new] == number).all() and (offsets[4:] == number).all()
        # The two latest of three frames are the chunk imagined the step before, in the same row.
        assert (recent[going][:, 1:] == (10 * (number - 1) + torch.from_numpy(going))[:, None, None, None, None]).all()
        assert (recent[new] == -1).all()
        ended += len(new)
        before = index
    assert ended > 0


def test_rollouts_put_back_go_on_as_if_nothing_had_been():
    one, other = new_rollouts(), new_rollouts()
    for number in range(3):
        step(one, number)
    other.load({name: tensor.clone() for name, tensor in one.tensors().items()})
    for number in range(3, 8):
        for ours, theirs in zip(step(one, number), step(other, number), strict=True):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_rollouts_that_have_not_begun_are_put_back_as_such():
    one, other = new_rollouts(), new_rollouts()
    other.load(one.tensors())
    for ours, theirs in zip(step(one, 0), step(other, 0), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
