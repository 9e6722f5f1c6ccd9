"""`benchmarks.limits` on a toy world; on a real loop's home tests/assets/test_loop.py runs it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.limits import arguments
from benchmarks.limits_policy import Acted, act_in_imagination, explored
from benchmarks.limits_world_model import decoded, imagined, told_by_halves, world_model_limits
from tests.sight import untrained_sight
from tests.world_model.conftest import CHUNK, FRAMES, STRIDE, toy_architecture, toy_bank
from worldvla import campaigns
from worldvla.alignment.replay import dream
from worldvla.config import Campaign
from worldvla.config import Imagination as ImaginationConfig
from worldvla.policy.vla import Policy
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.model import WorldModel
from worldvla.world_model.training import pretrain

BANK = toy_bank()


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return pretrain(BANK, untrained_sight(), toy_architecture(), CHUNK, 0, Checkpointer(None), ignore)


@pytest.fixture
def config() -> Campaign:
    config = campaigns.load("test")
    scene = config.scene.model_copy(update={"chunk": CHUNK, "max_steps": 2 * CHUNK})
    return config.model_copy(update={"scene": scene})


def test_told_nothing_it_is_what_alignment_imagines(model: WorldModel) -> None:
    mine = imagined(Imagination(model, 1, 0), BANK, poses=False, frames=False, description="")
    for one, other in zip(mine, dream(Imagination(model, 1, 0), BANK), strict=True):
        assert (one.images == other.images).all() and (one.reward == other.reward).all()
        assert len(one.drift) == len(one.images) / FRAMES and one.drift[0] > 0


def test_told_the_poses_every_chunk_drifts_from_the_truth_alone(model: WorldModel) -> None:
    told = imagined(Imagination(model, 1, 0), BANK, poses=True, frames=False, description="")
    for episode, first in enumerate(BANK.starts):
        scene = Imagination(model, 1, 0).start(BANK.images[[first]], BANK.proprio[[first]]).scene
        for chunk, error in enumerate(told[episode].drift):
            now = first + chunk * CHUNK
            actions = torch.from_numpy(BANK.actions[None, now : now + CHUNK])
            kinematics = model.embodiment.kinematics
            with torch.no_grad():
                begun, met = torch.from_numpy(BANK.proprio[None, now]), kinematics.contact.within(scene)
                reached = kinematics.rollout(begun, actions, met)[0, -1]
            off = (reached - torch.from_numpy(BANK.proprio[now + CHUNK])).abs() / kinematics.std
            assert error == pytest.approx(float(off.max()), rel=1e-3)


def test_told_the_frames_a_chunk_is_imagined_from_real_ones(model: WorldModel) -> None:
    told = imagined(Imagination(model, 1, 0), BANK, poses=True, frames=True, description="")
    imagination = Imagination(model, 1, 0)
    first, now = BANK.starts, BANK.starts + CHUNK
    for _ in range(2):  # the noise of a chunk is named by the starts before it
        imagination.start(BANK.images[first], BANK.proprio[first])
    latest = np.stack([now - STRIDE, now], axis=1)
    state = imagination.start(BANK.images[first], BANK.proprio[now], BANK.images[latest], BANK.travelled()[now])
    second = imagination.step(state, BANK.actions[now[:, None] + np.arange(CHUNK)])
    for row, episode in enumerate(told):
        assert (episode.images[FRAMES : 2 * FRAMES] == second.images[row]).all()


def test_the_ceiling_is_of_the_frames_that_are_imagined(model: WorldModel) -> None:
    for episode, seen in enumerate(decoded(model, BANK)):
        real = BANK.images[BANK.frames_of(episode)][STRIDE::STRIDE]
        assert seen.images.shape == real.shape and len(seen.reward) == len(real)
        expected = model.autoencoder.decode(model.autoencoder.encode(torch.from_numpy(real)))
        assert np.abs(seen.images.astype(int) - expected.numpy()).max() <= 1


def test_every_figure_has_its_n(model: WorldModel) -> None:
    figures = {one["name"]: one for one in world_model_limits(model, BANK, ImaginationConfig(denoising_steps=1), 0)}
    for view in ("autoencoder", "imagined", "told poses", "told frames", "told both"):
        for what in ("PSNR", "SSIM", "outcomes told right", "area under the curve"):
            assert figures[f"toy, {view}: {what}"]["n"] == len(BANK)
    assert figures[f"toy: pose error after {2 * CHUNK} actions, nine in ten below"]["n"] == len(BANK)
    assert not any(f"after {4 * CHUNK} actions" in name for name in figures)


def test_an_oracle_is_told_by_thresholds_of_other_episodes() -> None:
    success = np.arange(40) % 2 == 0
    parted = np.where(success, 0.9, 0.2) + np.linspace(0, 0.05, 40)
    assert (told_by_halves(parted, success) == success).all()
    noise = np.random.default_rng(0)
    right = [(told_by_halves(noise.random(40), success) == success).mean() for _ in range(200)]
    assert np.mean(right) == pytest.approx(0.5, abs=0.03), "scores that tell nothing seem to tell nothing"
    few = np.array([0.9, 0.1, 0.2])
    assert told_by_halves(few, np.array([True, False, False])).tolist() == [True, False, False]


def test_without_proprioception_no_pose_is_rated(model: WorldModel) -> None:
    blind = replace(BANK, proprio=np.zeros((BANK.frame_count, 0), np.float32))
    other = pretrain(blind, untrained_sight(), toy_architecture(2, 2, 2), CHUNK, 0, Checkpointer(None), ignore)
    names = [one["name"] for one in world_model_limits(other, blind, ImaginationConfig(denoising_steps=1), 0)]
    assert names and not any("pose error" in name for name in names)


def test_what_a_policy_is_promised_is_what_its_actions_are_imagined_to_do(model: WorldModel, config: Campaign) -> None:
    policy = Policy.create(config.policy, CHUNK, seed=0)
    start = np.array([0, 0, 3])
    acted = act_in_imagination(policy, model, brightness, BANK, start, config)
    actions = acted.actions
    assert actions.shape == (3, 2 * CHUNK, 7) and not (actions[0] == actions[1]).all()
    replayed = BANK.select(start)
    for row, first in enumerate(replayed.starts):
        replayed.actions[first : first + 2 * CHUNK] = actions[row]
    dreams = dream(Imagination(model, 1, config.seed), replayed)
    for row, one in enumerate(dreams):
        np.testing.assert_allclose(acted.reward[row], one.reward, rtol=1e-5)
        np.testing.assert_allclose(acted.seen[row], brightness(one.images), rtol=1e-5)


def brightness(images: np.ndarray) -> np.ndarray:
    return images.mean((1, 2, 3)).astype(np.float32) / 255


def test_both_tell_a_success_where_they_do_so_of_one_frame() -> None:
    reward = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.7], [0.2, 0.1]], np.float32)
    seen = np.array([[0.1, 0.9], [0.6, 0.1], [0.1, 0.2], [0.9, 0.9]], np.float32)
    scores = Acted(reward, seen, np.zeros((4, 2, 7))).scores(np.array([0.8, 0.8, 0.6, 0.6], np.float32))
    told = {who: outcome.tolist() for who, (_, outcome) in scores.items()}
    assert told == {
        "reward head": [True, True, True, False],
        "judge": [True, True, False, True],
        "both": [False, True, False, False],
    }
    highest = {who: score.tolist() for who, (score, _) in scores.items()}
    assert highest["judge"] == pytest.approx([0.9, 0.6, 0.2, 0.9])
    assert highest["both"] == pytest.approx([0.1, 0.9, 0.0, 0.2])


def test_exploration_is_that_of_the_first_and_last_updates() -> None:
    history = [{"groups": 8.0, "groups_kept": float(n), "imagined_success": n / 10} for n in range(8)]
    figures = {one["name"]: one["value"] for one in explored(history)}
    assert figures == {
        "first 5 updates: groups whose outcomes differ": pytest.approx(10 / 40),
        "first 5 updates: success in imagination": pytest.approx(0.2),
        "last 5 updates: groups whose outcomes differ": pytest.approx(25 / 40),
        "last 5 updates: success in imagination": pytest.approx(0.5),
    }


@pytest.mark.parametrize("option", ["--episodes", "--rollouts", "--seeds"])
@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_what_is_no_number_from_one_on_is_refused(monkeypatch, capsys, option: str, number: str) -> None:
    monkeypatch.setattr("sys.argv", ["limits", f"{option}={number}"])
    with pytest.raises(SystemExit):
        arguments()
    assert f"argument {option}: '{number}' is no number from 1 on" in capsys.readouterr().err
