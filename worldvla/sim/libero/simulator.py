"""One LIBERO task on MuJoCo, stepped without rendering unless a picture is asked for.

The model is built once and every reset writes all that an episode starts from, so that the
same seed and actions give bitwise the same states and pictures in any process. Nothing of an
episode's past but its state is needed to go on from it.

Actions are robosuite's `OSC_POSE` as LIBERO's demonstrations use it, but for the gripper, whose
sign here is 1 for open. At full deflection the controller is sent 5 cm and 0.5 rad away each
1/20 s, of which it covers a part.
"""

import os
import re
from pathlib import Path

import numpy as np

from worldvla.errors import UserError
from worldvla.sim.libero import tasks
from worldvla.sim.libero.camera import Camera
from worldvla.sim.libero.initial import shipped_index, shipped_states
from worldvla.sim.libero.installation import ASSETS, package, use_assets
from worldvla.sim.libero.meshes import coarsen
from worldvla.sim.libero.progress import distances, progress, satisfied
from worldvla.sim.protocol import ACTION_SIZE, Observation, SimulatorError, Snapshot, StepResult

IMAGE_SIZE = 128
CAMERA = "agentview"
SETTLING = 10  # actions of an open, resting hand before an episode begins: objects are placed above what they rest on
OPEN_AND_STILL = np.array([0, 0, 0, 0, 0, 0, 1], dtype=np.float32)


class LiberoSimulator:
    """See `worldvla.sim.protocol.Simulator`. `rendering=False` saves the renderer's start."""

    def __init__(self, suite: str, task: str, rendering: bool = True) -> None:
        self.suite = suite
        self.task = task
        self.instruction = tasks.instruction(task)
        self._env = _make(suite, task)
        self._rendering = rendering
        if rendering:
            coarsen(self._model)
        self._camera: Camera | None = None
        self._seed: int | None = None
        self._shipped = shipped_states(suite, task)

    def reset(self, seed: int, render: bool = True) -> Observation:
        self._initial_state = self.initial_state(seed)
        for _ in range(SETTLING):
            self._advance(OPEN_AND_STILL)
        self._seed = seed
        self._actions: list[np.ndarray] = []
        self._initial = distances(self._env)
        return self._observe(render)

    def initial_state(self, seed: int | None = None) -> np.ndarray:
        """Joint positions and the fixtures' places as drawn, before anything settles: no physics is in them."""
        if seed is None:
            return self._initial_state
        self._place(seed)
        self._seed = None
        return np.concatenate([self._data.qpos, *self._fixture_poses()])

    def step(self, action: np.ndarray, render: bool = True) -> StepResult:
        if self._seed is None:
            raise SimulatorError(f"{self.suite}/{self.task}: step before reset")
        action = np.clip(np.asarray(action, dtype=np.float32), -1.0, 1.0)
        self._actions.append(action)
        self._advance(action)
        success, progress = self._judge()
        return StepResult(self._observe(render), success, progress)

    def render(self) -> np.ndarray:
        if not self._rendering:
            raise SimulatorError(f"{self.suite}/{self.task}: made without rendering")
        if self._camera is None:
            self._camera = Camera(self._model, CAMERA, IMAGE_SIZE)
        return self._camera(self._data)

    def state(self) -> np.ndarray:
        """MuJoCo's own state with its solver's warm start, the fixtures' places, and what the controllers remember."""
        import mujoco

        physics = np.empty(mujoco.mj_stateSize(self._model, _flags()))
        mujoco.mj_getState(self._model, self._data, physics, _flags())
        robot = self._env.robots[0]
        # The controller turns back to the last orientation it was sent while an action asks for no rotation.
        remembered = [np.ravel(robot.controller.goal_ori), robot.gripper.current_action]
        return np.concatenate([physics, *remembered, *self._fixture_poses()])

    def success(self) -> bool:
        return self._judge()[0]

    def progress(self) -> float:
        return self._judge()[1]

    def snapshot(self) -> Snapshot:
        if self._seed is None:
            raise SimulatorError(f"{self.suite}/{self.task}: snapshot before reset")
        actions = np.stack(self._actions) if self._actions else np.zeros((0, ACTION_SIZE), dtype=np.float32)
        return Snapshot(self.suite, self.task, self._seed, actions, self.state())

    def restore(self, snapshot: Snapshot, render: bool = True) -> Observation:
        """Writes the snapshot's state: MuJoCo can be handed all of it, so no action is repeated."""
        import mujoco

        where = f"{snapshot.suite}/{snapshot.task} seed {snapshot.seed}"
        if (snapshot.suite, snapshot.task) != (self.suite, self.task):
            raise SimulatorError(f"a snapshot of {where} cannot be restored in {self.suite}/{self.task}")
        self.reset(snapshot.seed, render=False)
        physics, remembered, fixtures = self._split(snapshot.state)
        if not np.array_equal(fixtures, np.concatenate(self._fixture_poses())):
            raise SimulatorError(
                f"{where}: the seed puts the fixtures elsewhere than recorded; "
                "the simulator or the machine is not the one that recorded it"
            )
        mujoco.mj_setState(self._model, self._data, physics, _flags())
        robot = self._env.robots[0]
        robot.controller.goal_ori = remembered[:9].reshape(3, 3).copy()
        robot.gripper.current_action = remembered[9:].copy()
        self._arrive()
        self._actions = list(snapshot.actions)
        return self._observe(render)

    def privileged(self) -> dict[str, np.ndarray]:
        """Poses [7] of `tcp` (the point between the fingertips, in the hand's frame), of every object and fixture by
        LIBERO's name, and of every region by its own; `NAME/joints` [J]: joint positions (metres, radians) of an
        articulated fixture or region; `gripper` [1]: half the opening in metres."""
        env, data = self._env, self._data
        robot = env.robots[0]
        scene = {
            "tcp": _pose(data.site_xpos[robot.eef_site_id], data.site_xmat[robot.eef_site_id]),
            "gripper": data.qpos[robot._ref_gripper_joint_pos_indexes[:1]].copy(),
        }
        for name, body in env.obj_body_id.items():
            scene[name] = np.concatenate([data.xpos[body], data.xquat[body]])
        for name in env.object_sites_dict:
            scene[name] = _pose(env.sim.data.get_site_xpos(name), env.sim.data.get_site_xmat(name))
        owners = env.fixtures_dict | {name: site for name, site in env.object_sites_dict.items() if site.joints}
        for name, owner in owners.items():
            if owner.joints:
                addresses = [env.sim.model.get_joint_qpos_addr(joint) for joint in owner.joints]
                scene[f"{name}/joints"] = data.qpos[addresses].copy()
        return scene

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    @property
    def _model(self):
        return self._env.sim.model._model

    @property
    def _data(self):
        return self._env.sim.data._data

    def _fixture_bodies(self) -> list[int]:
        return [self._env.obj_body_id[name] for name in self._env.fixtures_dict]

    def _fixture_poses(self) -> list[np.ndarray]:
        bodies = self._fixture_bodies()
        return [self._model.body_pos[bodies].ravel(), self._model.body_quat[bodies].ravel()]

    def _split(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`state()` as MuJoCo's part, what the controllers remember [11], the fixtures' poses."""
        import mujoco

        if state.shape != (expected := self.state().shape):
            raise SimulatorError(f"{self.suite}/{self.task}: a state of {state.shape} where {expected} is needed")
        physics = mujoco.mj_stateSize(self._model, _flags())
        return state[:physics], state[physics : physics + 11], state[physics + 11 :]

    def _place(self, seed: int) -> None:
        """Draws a placement as LIBERO does, from NumPy's global generator, which is left as it was found."""
        from robosuite.utils.errors import RandomizationError

        before = np.random.get_state()
        np.random.seed(seed)
        try:
            while True:
                # LIBERO places what stands on a fixture relative to where the model has that fixture: at the origin.
                bodies = self._fixture_bodies()
                self._model.body_pos[bodies], self._model.body_quat[bodies] = 0.0, [1.0, 0.0, 0.0, 0.0]
                try:
                    self._env.reset()
                    break
                except RandomizationError:
                    continue
        finally:
            np.random.set_state(before)
        if (index := shipped_index(seed, len(self._shipped))) is not None:
            self._env.sim.set_state_from_flattened(self._shipped[index])
        robot = self._env.robots[0]
        robot.gripper.current_action = np.zeros(2)
        self._arrive()
        robot.controller.update(force=True)
        robot.controller.reset_goal()

    def _advance(self, action: np.ndarray) -> None:
        """robosuite's control period, to the bit, for a third of its cost: without its sensors, and each substep's
        physics computed once, as robosuite's controller reads nothing but positions and velocities."""
        import mujoco

        theirs = action.astype(np.float64)
        theirs[6] = -theirs[6]
        env = self._env
        env.sim.forward = lambda: mujoco.mj_step1(self._model, self._data)
        for substep in range(int(env.control_timestep / env.model_timestep)):
            env._pre_action(theirs, policy_step=substep == 0)
            mujoco.mj_step2(self._model, self._data)
        del env.sim.forward
        self._arrive()

    def _arrive(self) -> None:
        """Makes poses, contacts and what is seen those of the state: a step leaves them one substep behind."""
        self._env.sim.forward()
        self._env._post_process()
        self._env.robots[0].controller.new_update = True

    def _judge(self) -> tuple[bool, float]:
        if bool(self._env._check_success()):
            return True, 1.0
        return False, progress(distances(self._env), self._initial, satisfied(self._env))

    def _observe(self, render: bool) -> Observation:
        """`proprio` [27]: positions, then velocities, of the arm's seven joints and the two fingers; of the hand the
        position [3] and the first two columns [6] of its rotation matrix, which have no jumps as quaternions do."""
        robot, data = self._env.robots[0], self._data
        joints = [*robot._ref_joint_pos_indexes, *robot._ref_gripper_joint_pos_indexes]
        speeds = [*robot._ref_joint_vel_indexes, *robot._ref_gripper_joint_vel_indexes]
        columns = data.site_xmat[robot.eef_site_id].reshape(3, 3)[:, :2].T.ravel()
        hand = data.site_xpos[robot.eef_site_id]
        proprio = np.concatenate([data.qpos[joints], data.qvel[speeds], hand, columns]).astype(np.float32)
        return Observation(self.render() if render else None, proprio, self.instruction)


def _flags() -> int:
    import mujoco

    parts = mujoco.mjtState
    return parts.mjSTATE_FULLPHYSICS | parts.mjSTATE_WARMSTART | parts.mjSTATE_CTRL


def _pose(position: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    import mujoco

    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(matrix, dtype=np.float64).ravel())
    return np.concatenate([position, quaternion])


def _make(suite: str, task: str):
    folder = use_assets()
    from libero.libero.envs.env_wrapper import ControlEnv

    try:
        return ControlEnv(
            str(package() / "bddl_files" / suite / f"{task}.bddl"),
            use_camera_obs=False,
            has_offscreen_renderer=False,
            hard_reset=False,
            ignore_done=True,
        ).env
    except (FileNotFoundError, ValueError) as error:
        missing = re.search(rf"{re.escape(str(folder))}/[^'\"\s]+", str(error))
        if missing is None or Path(missing[0]).exists():
            raise
        anew = f"unset {ASSETS}" if os.environ.get(ASSETS) else f"remove {folder}"
        raise UserError(
            f"scene.suite: {suite}/{task} needs {missing[0]}, which is not there; {anew} to have all of LIBERO's "
            f"assets downloaded, or name a folder that holds them in {ASSETS}"
        ) from error
