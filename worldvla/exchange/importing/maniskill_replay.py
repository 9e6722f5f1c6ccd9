"""A recorded ManiSkill trajectory, repeated in the suite's simulator.

Our actions are ManiSkill's `pd_ee_delta_pose` with another range: half of its translation, and a rotation limit
of 0.25 rad where ManiSkill multiplies by its lower limit of -0.1 rad, which turns against the sign of the action.
`pd_ee_delta_pos` is the same without rotation. What a repetition leads to is compared with the file: where the
objects are at the beginning, the joints in every state, and the outcome. So joints are found as ManiSkill finds them
on a processor, and an arm for which there are none stands still; the suite's own differ there
(`worldvla/sim/inverse_kinematics.py`).
"""

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from worldvla.exchange.importing.hdf5 import group_in, holds, names_in, read
from worldvla.exchange.importing.record import Field, Unmappable
from worldvla.sim import maniskill, suites
from worldvla.sim.protocol import Simulator

if TYPE_CHECKING:
    import h5py

THEIR_ROTATION = -0.1  # radians, by which ManiSkill multiplies a rotation
SCALE = (maniskill.TRANSLATION,) * 3 + (maniskill.ROTATION / THEIR_ROTATION,) * 3
POSE_CONTROL, POSITION_CONTROL = "pd_ee_delta_pose", "pd_ee_delta_pos"
JOINTS = slice(13, 22)  # of an articulation's row: 13 numbers of its base, then positions of the Panda's nine joints
JOINT_TOLERANCE = 0.05  # radians: another build of the physics engine stays below, another episode does not
PLACE_TOLERANCE = 1e-3  # metres
FIELDS = {
    "replay/image": Field((maniskill.IMAGE_SIZE, maniskill.IMAGE_SIZE, 3), "uint8"),
    "replay/actions": Field((7,), "float32"),
    "replay/proprio": Field((27,), "float32"),
    "replay/success": Field((), "bool"),
    "replay/progress": Field((), "float64"),
    "replay/state": Field((), "float64"),
}


def why_not(suite: str, task: str, mode: str) -> str | None:
    """Why trajectories of this environment cannot be replayed; None where they can."""
    if suite != maniskill.SUITE:
        return f"--suite {suite} has no simulator of ManiSkill's tasks; {maniskill.SUITE} has"
    if task not in suites.tasks(suite):
        return f"{suite} has no task {task}; it has {', '.join(suites.tasks(suite))}"
    if mode not in (POSE_CONTROL, POSITION_CONTROL):
        return (
            f"they were recorded in control mode {mode!r}, and the suite acts in {POSE_CONTROL}; ManiSkill converts "
            f"them: python -m mani_skill.trajectory.replay_trajectory --traj-path FILE -c {POSE_CONTROL} --save-traj"
        )
    return None


def converted(actions: np.ndarray, mode: str) -> np.ndarray:
    """ManiSkill's actions [T, 7] (or [T, 4] without rotation) as float32 [T, 7] of ours; raises `Unmappable`."""
    width = 7 if mode == POSE_CONTROL else 4
    if mode not in (POSE_CONTROL, POSITION_CONTROL) or actions.ndim != 2 or actions.shape[1] != width:
        raise Unmappable("shape_mismatch", f"actions {list(actions.shape)} of control mode {mode!r}")
    wide = np.zeros((len(actions), 7))
    wide[:, :3], wide[:, -1] = np.clip(actions[:, :3], -1, 1), actions[:, -1]
    if mode == POSE_CONTROL:
        rotation = actions[:, 3:6].astype(np.float64)
        wide[:, 3:6] = rotation / np.maximum(np.linalg.norm(rotation, axis=1, keepdims=True), 1)
    wide[:, :6] /= SCALE
    return wide.astype(np.float32)


class Stage:
    """The simulator of the task that is replayed; one at a time, for each takes a second to make."""

    def __init__(self) -> None:
        self._simulator: Simulator | None = None

    def simulator(self, task: str) -> Simulator:
        if self._simulator is None or self._simulator.task != task:
            self.close()
            self._simulator = maniskill.ManiSkillSimulator(task, damped=False)
        return self._simulator

    def close(self) -> None:
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None
            # Making it froze what was imported by then; unfrozen, it is cleared at exit without complaints.
            gc.unfreeze()


@dataclass(frozen=True)
class Replay:
    """What came of the repetition: `rows` by the names of `FIELDS`, T actions and T + 1 states."""

    pictures: list[np.ndarray]
    rows: dict[str, np.ndarray]

    @classmethod
    def of(cls, simulator: Simulator, seed: int, mode: str, group: "h5py.Group") -> "Replay":
        """Raises `Unmappable` where it cannot be, or leads elsewhere than recorded."""
        if not holds(group, "env_states") and not holds(group, "success"):
            raise Unmappable(
                "replay_impossible",
                "the file has neither env_states nor success, so nothing tells whether a repetition leads where it "
                "led: record it with record_env_state=True",
            )
        actions = converted(read(group, "actions"), mode)
        reach = np.abs(actions).max(axis=1, initial=0)
        if not np.isfinite(actions).all() or reach.max(initial=0) > 1 + 1e-6:
            step = int(np.argmax(~(reach <= 1 + 1e-6)))
            raise Unmappable(
                "replay_impossible",
                f"the action at step {step} is {reach[step]:.2f} of the suite's range, which is half of ManiSkill's in "
                "translation: the suite's robot cannot do it in one step",
            )
        first = simulator.reset(seed)
        _check_places(group, simulator.state(), seed)
        pictures, proprio = [first.image], [first.proprio]
        success, progress, states = [simulator.success()], [simulator.progress()], [simulator.state()]
        for action in actions:
            result = simulator.step(action)
            pictures.append(result.observation.image)
            proprio.append(result.observation.proprio)
            success.append(result.success)
            progress.append(result.progress)
            states.append(simulator.state())
        _check_joints(group, np.stack(proprio))
        _check_outcome(group, success)
        values = (actions, np.stack(proprio), np.array(success), np.array(progress), np.stack(states))
        names = ("actions", "proprio", "success", "progress", "state")
        return cls(pictures, {f"replay/{name}": one for name, one in zip(names, values, strict=True)})


def _recorded(group: "h5py.Group", kind: str) -> list[str]:
    """The names of what the file recorded the states of; none where it was recorded without them."""
    place = f"env_states/{kind}"
    return names_in(group_in(group, place)) if holds(group, place) else []


def _check_places(group: "h5py.Group", state: np.ndarray, seed: int) -> None:
    """Each recorded object's position must be one that the reset gives."""
    for name in _recorded(group, "actors"):
        states = read(group, f"env_states/actors/{name}")
        if states.ndim != 2 or not len(states) or states.shape[1] < 3:
            raise Unmappable("shape_mismatch", f"env_states/actors/{name} is {list(states.shape)}, no pose a state")
        windows = np.lib.stride_tricks.sliding_window_view(state, 3)
        distance = float(np.abs(windows - states[0, :3]).max(axis=1).min())
        if not distance <= PLACE_TOLERANCE:
            raise Unmappable("replay_diverged", f"seed {seed} does not place {name} where it was recorded")


def _check_joints(group: "h5py.Group", proprio: np.ndarray) -> None:
    names = [name for name in _recorded(group, "articulations") if name.startswith("panda")]
    if not names:
        return
    recorded = read(group, f"env_states/articulations/{names[0]}")
    if recorded.ndim != 2 or recorded[:, JOINTS].shape != (len(proprio), 9):
        shape = f"env_states/articulations/{names[0]} is {list(recorded.shape)}"
        raise Unmappable("shape_mismatch", f"{shape}, and there are {len(proprio) - 1} actions")
    apart = np.abs(recorded[:, JOINTS] - proprio[:, :9]).max(axis=1)
    if not apart.max() <= JOINT_TOLERANCE:
        step = int(np.argmax(~(apart <= JOINT_TOLERANCE)))
        raise Unmappable(
            "replay_diverged", f"at step {step} a joint is {apart[step]:.3f} rad from where it was recorded"
        )


def _check_outcome(group: "h5py.Group", success: list[bool]) -> None:
    if holds(group, "success"):
        recorded = read(group, "success").astype(bool).ravel()
        if len(recorded) and bool(recorded[-1]) != success[-1]:
            was, now = ("a success" if one else "none" for one in (recorded[-1], success[-1]))
            raise Unmappable("replay_diverged", f"its end was recorded as {was} and is {now} when repeated")
