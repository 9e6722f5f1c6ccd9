"""The robot's body: where actions take it, what it looks like there, and what is done where nothing is known of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.sight import untrained_sight
from tests.world_model.conftest import CHUNK, FINE_TUNING, FRAMES, IMAGE_SIZE, STRIDE, toy_architecture, toy_bank
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.autoencoder import bank_latents
from worldvla.world_model.embodiment import Embodiment, EmbodimentMap, Kinematics
from worldvla.world_model.embodiment_training import train_embodiment_map, train_kinematics
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.training import fine_tune, pretrain

SETTINGS = toy_architecture().embodiment.model_copy(
    update={
        "kinematics_steps": 250,
        "kinematics_learning_rate": 1e-2,
        "map_steps": 250,
        "map_learning_rate": 1e-2,
        "batch_size": 16,
    }
)


def settled(build, train, *arguments):
    torch.manual_seed(0)
    module = build()
    train(module, *arguments, SETTINGS, 0.9, 0, Checkpointer(None), ignore)
    return module.eval()


def test_kinematics_lead_where_the_actions_led(bank):
    kinematics = settled(lambda: Kinematics(2, 7, IMAGE_SIZE, 1), train_kinematics, bank)
    unseen = toy_bank(seed=1)
    frames = unseen.starts
    ahead = unseen.actions[frames[:, None] + np.arange(6)]
    with torch.no_grad():
        reached = kinematics.rollout(torch.from_numpy(unseen.proprio[frames]), torch.from_numpy(ahead), None).numpy()
    recorded = unseen.proprio[frames[:, None] + np.arange(1, 7)]
    moved = np.abs(recorded - unseen.proprio[frames][:, None])[..., 0].mean()
    assert np.abs(reached - recorded)[..., 0].mean() < 0.25 * moved
    assert np.abs(reached - recorded)[..., 1].max() < 0.01, "what never changes stays"


def test_an_unknown_pose_stays_unknown_and_shows_the_first_frame():
    torch.manual_seed(0)
    kinematics, drawn = Kinematics(2, 7, IMAGE_SIZE, 1), EmbodimentMap(2, 4, 6)
    anchor, proprio = torch.randn(2, 4, 6, 6), torch.randn(2, 3, 2)
    proprio[0, 1, 1] = torch.nan
    with torch.no_grad():
        maps = drawn(anchor, proprio)
        reached = kinematics.rollout(proprio[:, 1], torch.randn(2, 5, 7), None)
    assert maps.shape == (2, 3, 4, 6, 6) and maps.isfinite().all()
    torch.testing.assert_close(maps[0, 1], anchor[0])
    assert (maps[0, 0] - anchor[0]).abs().max() > 1e-3 and (maps[1, 1] - anchor[1]).abs().max() > 1e-3
    assert reached[0].isnan().any() and reached[1].isfinite().all()


def test_the_map_shows_the_robot_where_it_is(bank, model):
    """At an episode's end, drawn over its first frame."""
    latents = bank_latents(model.autoencoder, bank)
    drawn = settled(lambda: EmbodimentMap(2, *latents.shape[1:3]), train_embodiment_map, bank, latents)
    last = bank.starts + bank.lengths - 1
    anchor = torch.from_numpy(latents[bank.starts]).float()
    with torch.no_grad():
        shown = drawn(anchor, torch.from_numpy(bank.proprio[last])[:, None])[:, 0]
    truth = torch.from_numpy(latents[last]).float()
    assert (shown - truth).square().mean() < 0.3 * (anchor - truth).square().mean()


@pytest.mark.parametrize("size", [2, 4, 6])
def test_a_map_of_any_size_has_gradients_in_half_precision(size):
    torch.manual_seed(0)
    drawn = EmbodimentMap(18, 4, size)
    with torch.autocast("cpu", torch.bfloat16):
        maps = drawn(torch.randn(16, 4, size, size), torch.randn(16, 1, 18))
    maps.square().mean().backward()
    assert maps.shape[-1] == size
    assert all(parameter.grad.isfinite().all() for parameter in drawn.parameters())


def test_the_body_is_of_now_and_of_each_imagined_frame(model, bank):
    anchor = torch.randn(2, 4, IMAGE_SIZE // 8, IMAGE_SIZE // 8)
    proprio, actions = torch.from_numpy(bank.proprio[:2]), torch.randn(2, CHUNK, 7)
    scene = model.see(anchor)
    maps, poses = model.body_ahead(anchor, scene, proprio, actions)
    assert maps.shape == (2, 1 + FRAMES, *anchor.shape[1:])
    with torch.no_grad():
        kinematics = model.embodiment.kinematics
        reached = kinematics.rollout(proprio, actions, kinematics.contact.within(scene))
        frame = model.embodiment.map(anchor, reached[:, STRIDE - 1 : STRIDE])[:, 0]
    torch.testing.assert_close(maps[:, 1], frame)
    torch.testing.assert_close(poses, torch.cat([proprio[:, None], reached[:, STRIDE - 1 :: STRIDE]], dim=1))


def test_imagination_carries_the_pose_from_chunk_to_chunk(model, bank):
    imagination = Imagination(model, 1, 0)
    first = bank.starts[:3]
    chunks = np.random.default_rng(0).uniform(-1, 1, (2, 3, CHUNK, 7)).astype(np.float32)
    state = imagination.start(bank.images[first], bank.proprio[first])
    for chunk in chunks:
        state = imagination.step(state, chunk).state
    with torch.no_grad():
        begun, actions = torch.from_numpy(bank.proprio[first]), torch.from_numpy(np.concatenate(chunks, axis=1))
        kinematics = imagination.model.embodiment.kinematics
        expected = kinematics.rollout(begun, actions, kinematics.contact.within(state.scene))[:, -1]
    torch.testing.assert_close(state.proprio, expected)


def test_what_lies_where_is_seen_with_the_eyes_it_was_given(model):
    contact, given = model.embodiment.kinematics.contact, untrained_sight().state_dict()
    assert all(torch.equal(tensor, given[name]) for name, tensor in contact.sight.state_dict().items())
    assert contact.scene_std.max() < 1 and contact.scene_mean.abs().max() > 0, "scenes have unit size by training's"


@pytest.mark.parametrize("width", [0, 2])
def test_without_proprioception_a_world_model_learns_and_imagines_all_the_same(bank, width):
    """Of no robot, or, trained on one, of episodes that came with another width."""
    mute = replace(bank, proprio=np.zeros((bank.frame_count, 0), np.float32))
    model = pretrain(
        bank if width else mute, untrained_sight(), toy_architecture(2, 4, 2), CHUNK, 0, Checkpointer(None), ignore
    )
    assert model.config["embodiment"]["proprio_dim"] == width
    body = model.embodiment
    assert Embodiment.from_bytes(body.config, body.to_bytes()).to_bytes() == body.to_bytes()
    labels, latents = ["failure"] * len(bank), bank_latents(model.autoencoder, bank)
    tuned = fine_tune(model, mute, latents, labels, toy_architecture(), FINE_TUNING, 0, Checkpointer(None), ignore)
    imagination = Imagination(tuned, 1, 0)
    actions = np.ones((1, CHUNK, 7), np.float32)
    imagined = imagination.step(imagination.start(bank.images[:1], mute.proprio[:1]), actions)
    assert imagined.images.shape[1] == FRAMES and np.isfinite(imagined.reward).all()


def test_some_episodes_of_which_nothing_is_known_do_no_harm(bank):
    proprio = bank.proprio.copy()
    proprio[bank.frames_of(0)] = np.nan
    some = replace(bank, proprio=proprio)
    model = pretrain(some, untrained_sight(), toy_architecture(2, 12, 2), CHUNK, 0, Checkpointer(None), ignore)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
