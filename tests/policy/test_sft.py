from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.policy.conftest import CHUNK
from worldvla.errors import UserError
from worldvla.policy.sft import chunk_loss, chunk_targets, fine_tune, shift
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import generator


def test_targets_are_the_actions_that_follow_and_stop_at_the_episode_end(bank):
    frames, targets, valid = chunk_targets(bank, CHUNK)
    assert len(frames) == (bank.lengths - 1).sum()
    episode = bank.episode_of_frame()
    for frame, target, inside in zip(frames, targets, valid, strict=True):
        end = bank.starts[episode[frame]] + bank.lengths[episode[frame]] - 1
        assert inside.sum() == min(CHUNK, end - frame)
        assert np.array_equal(target[inside], bank.actions[frame : min(frame + CHUNK, end)])


def test_only_frames_with_a_picture_are_cloned(bank):
    sparse = replace(bank, camera_strides=np.full(len(bank), 2))
    frames, targets, _ = chunk_targets(sparse, CHUNK)
    assert sparse.drawn()[frames].all() and len(frames) < len(chunk_targets(bank, CHUNK)[0])
    np.testing.assert_array_equal(targets[:, 0], bank.actions[frames])


def test_actions_past_the_end_have_no_gradient():
    logits = torch.randn(2, 3, 7, 5, requires_grad=True)
    valid = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    chunk_loss(logits, torch.zeros(2, 3, 7, dtype=torch.long), valid, 0.1).backward()
    assert torch.equal(logits.grad.abs().sum((2, 3)) > 0, valid > 0)


def test_shift_moves_each_image_whole():
    images = torch.randint(256, (6, 3, 8, 8), generator=generator(0)).to(torch.uint8)
    shifted = shift(images, generator(1))
    assert shifted.shape == images.shape and shifted.dtype == images.dtype
    centre = shifted[:, :, 2:6, 2:6]
    for image, part in zip(images, centre, strict=True):
        windows = image.unfold(1, 4, 1).unfold(2, 4, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
        assert (windows == part).all(dim=(1, 2, 3)).sum() == 1


def test_it_learns_and_resumes_to_the_same_bytes(bank, architecture, tmp_path):
    losses = []
    whole = fine_tune(
        bank, architecture, CHUNK, 0, Checkpointer(tmp_path / "whole", 0), lambda _, m: losses.append(m["sft/loss"])
    )
    assert losses[-1] < losses[0]
    images = np.stack([bank.images[bank.starts[0]], bank.images[bank.starts[1]]])
    actions = whole.act(images, ["push the cube"] * 2, 0.0).actions
    assert (actions[0] == -1).all() and (actions[1] == 1).all()

    class Killed(Exception):
        pass

    def kill(step: int, _) -> None:
        raise Killed

    with pytest.raises(Killed):
        fine_tune(bank, architecture, CHUNK, 0, Checkpointer(tmp_path / "killed", 0), kill)
    resumed = fine_tune(bank, architecture, CHUNK, 0, Checkpointer(tmp_path / "killed", 0))
    assert resumed.to_bytes() == whole.to_bytes()
    assert fine_tune(bank, architecture, CHUNK, 1, Checkpointer(None)).to_bytes() != whole.to_bytes()


def test_nothing_to_learn_from_is_said(bank, architecture):
    with pytest.raises(UserError, match="demonstrations.per_task"):
        fine_tune(bank.select(np.zeros(0)), architecture, CHUNK, 0, Checkpointer(None))


def test_a_training_that_diverges_is_refused(bank, architecture):
    wild = architecture.model_copy(update={"learning_rate": 1e36})
    with pytest.raises(UserError, match="sft: the training diverged.*lower policy.learning_rate"):
        fine_tune(bank, wild, CHUNK, 0, Checkpointer(None))
