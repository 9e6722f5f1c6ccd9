"""Imagination: shapes, counts, determinism, and that actions have consequences."""

import numpy as np
import pytest

from tests.world_model.conftest import CHUNK, FRAMES, IMAGE_SIZE
from worldvla.training.fusion import can_fuse, fusing
from worldvla.world_model import imagination as imagination_module
from worldvla.world_model.imagination import Imagination


@pytest.fixture
def anchors(bank):
    return bank.images[bank.starts[:3]]


SENSED = np.full((3, 2), 0.2, np.float32)


def rollout(imagination, anchors, actions, decode="all"):
    state = imagination.start(anchors, SENSED)
    images, rewards = [], []
    for chunk in actions:
        imagined = imagination.step(state, chunk, decode)
        state = imagined.state
        images.append(imagined.images)
        rewards.append(imagined.reward)
    return np.concatenate(images, 1), np.concatenate(rewards, 1)


def chunks(seed, count=2):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, CHUNK, 7)).astype(np.float32)


def test_shapes_and_count_of_imagined_steps(model, anchors):
    imagination = Imagination(model, 2, 0)
    images, rewards = rollout(imagination, anchors, chunks(0))
    assert images.shape == (3, 2 * FRAMES, IMAGE_SIZE, IMAGE_SIZE, 3) and images.dtype == np.uint8
    assert rewards.shape == (3, 2 * FRAMES) and rewards.dtype == np.float32
    assert 0 <= rewards.min() and rewards.max() <= 1
    assert imagination.imagined_steps == 3 * 2 * CHUNK


def test_same_seed_same_frames(model, anchors):
    first, second, other = (rollout(Imagination(model, 2, seed), anchors, chunks(0)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert (first[0] != other[0]).any()


def test_a_state_can_be_stepped_again_to_the_same_frames(model, anchors):
    imagination = Imagination(model, 2, 0)
    state = imagination.start(anchors, SENSED)
    first, again = (imagination.step(state, chunks(0)[0]) for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)


def test_decoding_only_the_last_frame_changes_nothing_else(model, anchors):
    every, every_reward = rollout(Imagination(model, 2, 0), anchors, chunks(0))
    last, last_reward = rollout(Imagination(model, 2, 0), anchors, chunks(0), decode="last")
    assert last.shape[1] == 2
    difference = np.abs(last.astype(int) - every[:, FRAMES - 1 :: FRAMES])
    assert difference.max() <= 3  # batches of another size may round otherwise
    np.testing.assert_allclose(last_reward, every_reward, atol=1e-2)


def test_single_frames_can_be_looked_at_afterwards(model, anchors, monkeypatch):
    imagination = Imagination(model, 2, 0)
    imagined = imagination.step(imagination.start(anchors, SENSED), chunks(0)[0])
    rows, frames = np.array([2, 0, 2]), np.array([0, FRAMES - 1, FRAMES - 1])
    monkeypatch.setitem(imagination_module.CELLS_AT_ONCE, "cpu", 2 * model.autoencoder.latent_size**2)
    near = np.abs(imagination.look(imagined, rows, frames).astype(int) - imagined.images[rows, frames])
    assert near.shape == (3, IMAGE_SIZE, IMAGE_SIZE, 3) and near.max() <= 1
    none = np.array([], np.int64)
    assert imagination.look(imagined, none, none).shape == (0, IMAGE_SIZE, IMAGE_SIZE, 3)


def test_actions_have_consequences(model, anchors):
    one, _ = rollout(Imagination(model, 2, 0), anchors, chunks(0))
    other, _ = rollout(Imagination(model, 2, 0), anchors, chunks(1))
    assert (one != other).any()


def test_the_way_travelled_is_the_sum_of_all_actions(model, anchors):
    imagination = Imagination(model, 2, 0)
    begun = np.full((3, 7), 0.5, np.float32)
    state = imagination.start(anchors, SENSED, anchors[:, None], begun)
    first, second = chunks(0)
    after = imagination.step(imagination.step(state, first).state, second).state.select(np.array([2, 0]))
    expected = begun + first.sum(1) + second.sum(1)
    np.testing.assert_allclose(after.travelled.numpy(), expected[[2, 0]], rtol=1e-5)
    elsewhere = imagination.step(imagination.start(anchors, SENSED, anchors[:, None]), first)
    assert (elsewhere.images != imagination.step(state, first).images).any()


def test_history_shorter_than_the_model_reads_is_repeated(model, bank, anchors):
    imagination = Imagination(model, 2, 0)
    one = imagination.start(anchors, SENSED, anchors[:, None])
    many = imagination.start(anchors, SENSED, np.stack([bank.images[bank.starts[:3] + 1], anchors, anchors], axis=1))
    assert one.recent.shape == many.recent.shape == (3, 2, *one.anchor.shape[1:])
    np.testing.assert_allclose(one.recent.numpy(), many.recent.numpy(), atol=1e-2)


def assert_alike(first, second):
    """Frames and rewards, but for what other kernels round otherwise."""
    difference = np.abs(first[0].astype(int) - second[0])
    assert difference.max() <= 8 and difference.mean() < 0.5
    np.testing.assert_allclose(first[1], second[1], atol=1e-2)


def slices_of_two(model, monkeypatch):
    cells = 2 * model.autoencoder.latent_size**2
    monkeypatch.setattr(imagination_module, "CELLS_AT_ONCE", {"cpu": cells, "cuda": cells})


def test_rollouts_that_share_a_start_may_share_its_encoding(model, anchors):
    group = np.repeat(np.arange(3), 4)
    actions = np.random.default_rng(0).uniform(-1, 1, (12, CHUNK, 7)).astype(np.float32)
    each, shared = Imagination(model, 2, 0), Imagination(model, 2, 0)
    one = each.step(each.start(anchors[group], SENSED[group]), actions)
    other = shared.step(shared.start(anchors, SENSED).select(group), actions)
    np.testing.assert_allclose(one.reward, other.reward, atol=1e-5)
    assert np.abs(one.images.astype(int) - other.images).max() <= 1


def test_slices_change_nothing(model, anchors, monkeypatch):
    together = rollout(Imagination(model, 2, 0), anchors, chunks(0))
    slices_of_two(model, monkeypatch)
    assert_alike(rollout(Imagination(model, 2, 0), anchors, chunks(0)), together)


@pytest.mark.slow
@pytest.mark.skipif(not can_fuse(), reason="needs a C++ compiler")
def test_compiled_kernels_imagine_the_same_in_slices_of_one_size(model, anchors, monkeypatch):
    slices_of_two(model, monkeypatch)
    plain = rollout(Imagination(model, 2, 0), anchors, chunks(0))
    sizes = set()
    decode = imagination_module.decode_frames
    monkeypatch.setattr(imagination_module, "decode_frames", lambda network, z: sizes.add(len(z)) or decode(network, z))
    with fusing(True):
        assert_alike(rollout(Imagination(model, 2, 0), anchors, chunks(0)), plain)
    assert sizes == {2 * FRAMES}
