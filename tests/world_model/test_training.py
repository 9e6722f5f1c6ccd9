"""Training: learns the toy, resumes to the same bytes, and fine-tuning leaves the autoencoder alone."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch

from tests.factories import synthetic_episode
from tests.sight import untrained_sight
from tests.world_model.conftest import CHUNK, FINE_TUNING, IMAGE_SIZE, toy_architecture, toy_bank
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import load_bank, load_images, write_episodes
from worldvla.lake.latents import cached_latents
from worldvla.lake.store import Lake
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.fusion import can_fuse, fusing
from worldvla.training.progress import ignore
from worldvla.world_model.autoencoder import bank_latents, episode_latents
from worldvla.world_model.landmarks import FEWEST
from worldvla.world_model.optimization import learning_rate_at
from worldvla.world_model.training import (
    fine_tune,
    pretrain,
    pretrain_autoencoder,
    pretrain_dynamics,
    pretrain_embodiment,
)


class Killed(Exception):
    pass


class DyingCheckpointer(Checkpointer):
    """Dies right after the first save of a stage at or past a step."""

    def __init__(self, directory, stage, step):
        super().__init__(directory, every_seconds=0)
        self.death = (stage, step)

    def save(self, stage, step, groups, force=False):
        super().save(stage, step, groups, force)
        if stage == self.death[0] and step >= self.death[1]:
            raise Killed


@pytest.mark.parametrize("stage", ["autoencoder", "kinematics", "contact", "embodiment_map", "dynamics"])
def test_an_interrupted_training_ends_at_the_same_bytes(tmp_path, bank, model, stage):
    with pytest.raises(Killed):
        pretrain(bank, untrained_sight(), toy_architecture(), CHUNK, 0, DyingCheckpointer(tmp_path, stage, 5), ignore)
    resumed = pretrain(bank, untrained_sight(), toy_architecture(), CHUNK, 0, Checkpointer(tmp_path), ignore)
    uninterrupted = pretrain(bank, untrained_sight(), toy_architecture(), CHUNK, 0, Checkpointer(None), ignore)
    assert resumed.to_bytes() == uninterrupted.to_bytes()


TRAIN_IN_A_PROCESS = """
import sys
from pathlib import Path
from tests.world_model.conftest import CHUNK, toy_architecture, toy_bank
from tests.sight import untrained_sight
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import load_bank, load_images, write_episodes
from worldvla.lake.latents import cached_latents
from worldvla.lake.store import Lake
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.training import pretrain
checkpointer = Checkpointer(Path(sys.argv[1]), 0)
model = pretrain(toy_bank(), untrained_sight(), toy_architecture(40, 400), CHUNK, 0, checkpointer, ignore)
Path(sys.argv[2]).write_bytes(model.to_bytes())
"""


@pytest.mark.slow
def test_a_training_killed_with_sigkill_ends_at_the_same_bytes(tmp_path):
    def start(name):
        arguments = [sys.executable, "-c", TRAIN_IN_A_PROCESS, str(tmp_path / name), str(tmp_path / f"{name}.bin")]
        return subprocess.Popen(arguments, env=os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"})

    victim = start("killed")
    while not (tmp_path / "killed" / "dynamics.safetensors").exists():
        assert victim.poll() is None
        time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert start("killed").wait() == 0
    assert start("whole").wait() == 0
    assert (tmp_path / "killed.bin").read_bytes() == (tmp_path / "whole.bin").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not can_fuse(), reason="needs a C++ compiler")
def test_compiled_kernels_learn_the_same_and_resume_to_the_same_bytes(tmp_path, bank, model):
    latents = bank_latents(model.autoencoder, bank)

    def train(checkpointer):
        logged = {}

        def log(step, metrics):
            logged.update(metrics)

        architecture, parts = toy_architecture(1, 10), (model.autoencoder, model.embodiment)
        return pretrain_dynamics(*parts, bank, latents, architecture, CHUNK, 0, checkpointer, log), logged

    plain, plain_log = train(Checkpointer(None))
    with fusing(True):
        with pytest.raises(Killed):
            train(DyingCheckpointer(tmp_path, "dynamics", 5))
        resumed, _ = train(Checkpointer(tmp_path))
        fused, fused_log = train(Checkpointer(None))
    assert resumed.to_bytes() == fused.to_bytes() != plain.to_bytes()
    for name in ("wm/flow_loss", "wm/reward_loss", "wm/gradient_norm"):
        assert fused_log[name] == pytest.approx(plain_log[name], rel=0.05)


def test_fine_tuning_changes_the_dynamics_and_leaves_the_rest(bank, model):
    labels = ["success" if success else "failure" for success in bank.success]
    before = model.to_bytes()
    latents = bank_latents(model.autoencoder, bank)
    tuned = fine_tune(model, bank, latents, labels, toy_architecture(), FINE_TUNING, 1, Checkpointer(None), ignore)
    assert model.to_bytes() == before
    changed = {
        name.split(".")[0]
        for name, tensor in tuned.state_dict().items()
        if not torch.equal(tensor, model.state_dict()[name])
    }
    assert changed == {"dynamics", "reward_head"}


def test_a_label_without_a_share_is_not_drawn_for_its_success(bank, model):
    labels = ["success" if success else "failure" for success in bank.success]
    latents = bank_latents(model.autoencoder, bank)

    def tuned(rows, settings):
        some = bank.select(rows)
        given = [labels[row] for row in rows]
        frames = np.concatenate([np.arange(one.start, one.stop) for one in map(bank.frames_of, rows)])
        done = fine_tune(
            model, some, latents[frames], given, toy_architecture(), settings, 1, Checkpointer(None), ignore
        )
        return torch.cat([value.flatten() for value in done.state_dict().values()])

    only = FINE_TUNING.model_copy(update={"sampling": {"success": 0.0, "near_success": 0.0, "failure": 1.0}})
    failures, successes = np.flatnonzero(~bank.success), np.flatnonzero(bank.success)
    both = np.concatenate([failures, successes])
    # A kernel may round otherwise where the bank is larger; other windows move the weights much further.
    torch.testing.assert_close(tuned(both, only), tuned(failures, only), atol=1e-4, rtol=1e-3)
    assert (tuned(both, FINE_TUNING) - tuned(failures, only)).abs().max() > 1e-3


def test_fine_tuning_ends_with_the_weights_that_validate_best(bank, model):
    labels = ["success" if success else "failure" for success in bank.success]
    latents, logged, seen = bank_latents(model.autoencoder, bank), {}, []

    def score(tuned):
        seen.append(tuned.to_bytes())
        return (1.0, 0.1) if len(seen) == 1 else (0.0, 0.1)

    def log(step, metrics):
        logged.update({f"{name} {step}": value for name, value in metrics.items()})

    tuned = fine_tune(model, bank, latents, labels, toy_architecture(), FINE_TUNING, 1, Checkpointer(None), log, score)
    assert (len(seen), logged["wm/kept_step 6"]) == (3, 2.0)
    assert {name: value for name, value in logged.items() if "validation" in name} == {
        "wm/validation_score 2": 1.0,
        "wm/validation_score 4": 0.0,
        "wm/validation_score 6": 0.0,
    }
    assert tuned.to_bytes() == seen[0]
    assert len(set(seen)) == 3


@pytest.mark.parametrize("frames", [1000, 7])
def test_a_lake_without_the_pixels_gives_what_a_bank_with_them_gives(tmp_path, frames):
    """Whether its latents are computed now or were there before."""
    lake, commit = Lake(tmp_path), Commit("run", "pretrained_world_model", "demo")
    episodes = [synthetic_episode(seed, length=8, success=seed % 2 == 0, size=IMAGE_SIZE) for seed in range(4)]
    ids = write_episodes(lake, episodes, commit)
    architecture = toy_architecture()
    architecture = architecture.model_copy(
        update={"autoencoder": architecture.autoencoder.model_copy(update={"frames": frames})}
    )
    whole, bank = load_bank(lake, ids, IMAGE_SIZE), load_bank(lake, ids, None)
    asked = []

    def pictures(frames):
        asked.append(len(frames))
        return load_images(lake, bank, frames, IMAGE_SIZE)

    def from_lake():
        no_checkpoints = Checkpointer(None)
        autoencoder = pretrain_autoencoder(bank, pictures, architecture, CHUNK, 0, no_checkpoints, ignore)
        encode, name = partial(episode_latents, autoencoder), autoencoder.config["digest"]
        latents = cached_latents(lake, name, bank, IMAGE_SIZE, encode, commit)
        embodiment = pretrain_embodiment(
            autoencoder, untrained_sight(), bank, latents, architecture, 0, no_checkpoints, ignore
        )
        parts = autoencoder, embodiment
        return pretrain_dynamics(*parts, bank, latents, architecture, CHUNK, 0, no_checkpoints, ignore)

    expected = pretrain(whole, untrained_sight(), architecture, CHUNK, 0, Checkpointer(None), ignore).to_bytes()
    assert from_lake().to_bytes() == expected
    version = lake.version("latents")
    assert from_lake().to_bytes() == expected and lake.version("latents") == version
    assert asked == [min(frames, 36)] * 2


def test_where_a_task_succeeds_is_where_the_robot_first_was_in_successes():
    bank = toy_bank(episodes=2 * FEWEST)
    model = pretrain(bank, untrained_sight(), toy_architecture(1, 1, 1), CHUNK, 0, Checkpointer(None), ignore)
    kinematics = model.embodiment.kinematics
    scenes = model.see(torch.from_numpy(bank_latents(model.autoencoder, bank)[bank.starts]).float())
    found = model.success_points(scenes)[:, 0] * kinematics.std + kinematics.mean
    succeeding = np.flatnonzero(bank.success)
    first = [bank.starts[one] + bank.reward[bank.frames_of(one)].argmax() for one in succeeding]
    np.testing.assert_allclose(found[succeeding].numpy(), bank.proprio[first], atol=1.5 / IMAGE_SIZE)


def test_another_seed_gives_other_weights(bank, model):
    other = pretrain(bank, untrained_sight(), toy_architecture(), CHUNK, 1, Checkpointer(None), ignore)
    assert other.to_bytes() != model.to_bytes()


def test_losses_fall_on_the_toy():
    logged = {}

    def log(step, metrics):
        for name, value in metrics.items():
            logged.setdefault(name, []).append(value)

    pretrain(
        toy_bank(episodes=8, length=13),
        untrained_sight(),
        toy_architecture(150, 300),
        CHUNK,
        0,
        Checkpointer(None),
        log,
    )
    assert logged["ae/psnr_db"][-1] > logged["ae/psnr_db"][0] + 1
    assert np.mean(logged["wm/flow_loss"][-2:]) < 0.8 * logged["wm/flow_loss"][0]
    assert logged["wm/clean_reward_loss"][-1] < 0.1


def test_learning_rate_warms_up_and_decays():
    rates = [learning_rate_at(step, 200, 1e-3) for step in range(200)]
    assert rates[9] == max(rates) == 1e-3
    assert rates[:9] == sorted(rates[:9]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 2e-5
