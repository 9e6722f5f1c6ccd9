"""ManiSkill's own trajectories, written by its own recorder, replayed in the suite's simulator."""

import json
import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.exchange.importing import files
from tests.exchange.importing.bringing import bring, episodes, refusals
from worldvla.errors import UserError
from worldvla.exchange.importing.maniskill_replay import converted
from worldvla.lake.store import Lake
from worldvla.sim import suites

SUITE, TASK = "maniskill_tabletop", "PushCube-v1"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Three pushes, with some rotation, each of 16 actions: what `RecordEpisode` writes of them."""
    import gymnasium
    import mani_skill.envs  # noqa: F401
    from mani_skill.utils.wrappers.record import RecordEpisode

    logging.getLogger("mani_skill ").setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("maniskill")
    environment = gymnasium.make(
        TASK,
        num_envs=1,
        obs_mode="none",
        reward_mode="none",
        control_mode="pd_ee_delta_pose",
        robot_uids="panda",
        sim_backend="cpu",
        render_backend="none",
    )
    recorder = RecordEpisode(
        environment, str(folder), trajectory_name="trajectory", save_video=False, record_reward=False
    )
    for seed in range(3):
        recorder.reset(seed=seed)
        for step in range(16):
            recorder.step(np.array([0.45, 0.05, -0.2, 0.1 * (step % 3), 0.2, -0.3, -1.0], np.float32))
    recorder.close()
    return folder


@pytest.fixture
def copy(recorded, tmp_path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("trajectory.h5", "trajectory.json"):
        (folder / name).write_bytes((recorded / name).read_bytes())
    return folder


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def test_files_without_pictures_are_replayed_as_the_suite_records(lake, recorded):
    outcome = bring(lake, "maniskill", recorded, suite=SUITE)
    assert (outcome.records, outcome.imported) == (3, 3)
    with h5py.File(recorded / "trajectory.h5") as file:
        given = [file[f"traj_{number}/actions"][:] for number in range(3)]
        joints = [file[f"traj_{number}/env_states/articulations/panda"][:, 13:22] for number in range(3)]
    simulator = suites.make(SUITE, TASK, rendering=False)
    for number, episode in enumerate(episodes(lake)):
        assert np.allclose(episode.actions[:, :3], 2 * given[number][:, :3])
        assert np.allclose(episode.actions[:, 3:6], -0.4 * given[number][:, 3:6])
        assert np.abs(episode.proprio[:, :9] - joints[number]).max() < 1e-3
        assert len(episode.images) == 17 and episode.seed == number
        assert (episode.task, episode.instruction) == (TASK, suites.instruction(SUITE, TASK))
        simulator.reset(number, render=False)
        assert np.array_equal(episode.initial_state, simulator.state())
    simulator.close()


def changed(folder: Path, name: str, value: object) -> None:
    with h5py.File(folder / "trajectory.h5", "a") as file:
        del file["traj_1"][name]
        file["traj_1"][name] = value


def about(folder: Path, change) -> None:
    content = json.loads((folder / "trajectory.json").read_text())
    change(content)
    (folder / "trajectory.json").write_text(json.dumps(content))


DAMAGE = {
    "replay_impossible": lambda folder: changed(folder, "actions", np.full((16, 7), 0.8, np.float32)),
    "shape_mismatch": lambda folder: changed(folder, "actions", np.zeros((16, 8), np.float32)),
    "replay_diverged": lambda folder: changed(folder, "actions", np.zeros((16, 7), np.float32)),
    "field_missing": lambda folder: h5py.File(folder / "trajectory.h5", "a").__delitem__("traj_1/actions"),
    "joints that are no numbers": lambda folder: changed(
        folder, "env_states/articulations/panda", np.full((17, 31), np.nan, np.float32)
    ),
    "joints in one row": lambda folder: changed(folder, "env_states/articulations/panda", np.zeros(31, np.float32)),
    "a cube without states": lambda folder: changed(folder, "env_states/actors/cube", np.zeros((0, 13), np.float32)),
}
OF = {
    "joints that are no numbers": "replay_diverged",
    "joints in one row": "shape_mismatch",
    "a cube without states": "shape_mismatch",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_cannot_be_repeated_is_quarantined_and_the_others_come_in(lake, copy, name):
    DAMAGE[name](copy)
    rule = OF.get(name, name)
    outcome = bring(lake, "maniskill", copy, suite=SUITE)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {rule: 1})
    assert list(refusals(lake)) == [rule]


def test_a_file_with_nothing_to_compare_is_not_said_to_lead_where_it_led(lake, copy):
    with h5py.File(copy / "trajectory.h5", "a") as file:
        for name in ("env_states", "success"):
            if name in file["traj_1"]:
                del file["traj_1"][name]
    outcome = bring(lake, "maniskill", copy, suite=SUITE)
    assert (outcome.imported, dict(outcome.refusals)) == (2, {"replay_impossible": 1})
    assert "record_env_state=True" in refusals(lake)["replay_impossible"]


def test_another_seed_than_recorded_is_noticed(lake, copy):
    about(copy, lambda content: content["episodes"][1]["reset_kwargs"].update(seed=17))
    assert dict(bring(lake, "maniskill", copy, suite=SUITE).refusals) == {"replay_diverged": 1}
    assert "seed 17 does not place cube" in refusals(lake)["replay_diverged"]


def test_another_control_mode_is_refused_with_the_way_to_convert_it(lake, copy):
    about(copy, lambda content: content["env_info"]["env_kwargs"].update(control_mode="pd_joint_pos"))
    with pytest.raises(UserError, match="replay_trajectory.*-c pd_ee_delta_pose"):
        bring(lake, "maniskill", copy, suite=SUITE)
    with pytest.raises(UserError, match="has no simulator of ManiSkill's tasks"):
        bring(lake, "maniskill", copy, suite="my_robot")


def test_pictures_in_the_file_are_taken_and_nothing_is_replayed(lake, copy):
    for number in range(3):
        with h5py.File(copy / "trajectory.h5", "a") as file:
            place = f"traj_{number}/obs/sensor_data/base_camera/rgb"
            file[place] = files.pictures(17, number)
            file[f"traj_{number}/obs/agent/qpos"] = files.proprio(17, 9, number)
    outcome = bring(lake, "maniskill", copy, suite="other", instruction="push it")
    assert outcome.imported == 3
    with h5py.File(copy / "trajectory.h5") as file:
        expected = converted(file["traj_0/actions"][:], "pd_ee_delta_pose")
    first = episodes(lake)[0]
    assert np.array_equal(first.actions, expected) and first.length == 16
    assert np.array_equal(first.proprio, files.proprio(17, 9))


def test_a_json_file_that_is_gone_is_said(lake, copy):
    (copy / "trajectory.json").unlink()
    with pytest.raises(UserError, match="trajectory.json, which says what trajectory.h5 holds"):
        bring(lake, "maniskill", copy, suite=SUITE)
