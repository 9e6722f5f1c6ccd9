"""One LIBERO task on MuJoCo, stepped without rendering unless a picture is asked for.

The model is built once and every reset writes all that an episode starts from, so that the
same seed and actions give bitwise the same states and pictures in any process.

Actions are robosuite's `OSC_POSE` as LIBERO's demonstrations use it, but for the gripper, whose
sign here is 1 for open. At full deflection the controller is sent 5 cm and 0.5 rad away each
1/20 s, of which it covers a part.
"""

import numpy as np

from worldvla.errors import UserError
from worldvla.sim.libero import tasks
from worldvla.sim.libero.initial import shipped_index, shipped_states
from worldvla.sim.libero.installation import package, use_assets
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
        self._renderer = None
        self._seed: int | None = None
        self._shipped = shipped_states(suite, task)

    def reset(self, seed: int, render: bool = True) -> Observation:
        self._place(seed)
        for _ in range(SETTLING):
            self._advance(OPEN_AND_STILL)
        self._seed = seed
        self._actions: list[np.ndarray] = []
        self._initial = distances(self._env)
        return self._observe(render)

    def initial_state(self, seed: int) -> np.ndarray:
        """`state()` after `reset(seed)`."""
        self.reset(seed, render=False)
        return self.state()

    def step(self, action: np.ndarray, render: bool = True) -> StepResult:
        if self._seed is None:
            raise SimulatorError(f"{self.suite}/{self.task}: step before reset")
        action = np.clip(np.asarray(action, dtype=np.float32), -1.0, 1.0)
        self._actions.append(action)
        self._advance(action)
        success, progress = self._judge()
        return StepResult(self._observe(render), success, progress)

    def render(self) -> np.ndarray:
        import mujoco

        if not self._rendering:
            raise SimulatorError(f"{self.suite}/{self.task}: made without rendering")
        if self._renderer is None:
            self._renderer = mujoco.Renderer(self._model, IMAGE_SIZE, IMAGE_SIZE)
            self._visible = mujoco.MjvOption()
            self._visible.geomgroup[0] = 0  # collision shapes
        self._renderer.update_scene(self._data, CAMERA, self._visible)
        return self._renderer.render().copy()

    def state(self) -> np.ndarray:
        """MuJoCo's own state with its solver's warm start, the fixtures' places, and what the controllers remember."""
        import mujoco

        flags = mujoco.mjtState.mjSTATE_FULLPHYSICS | mujoco.mjtState.mjSTATE_WARMSTART | mujoco.mjtState.mjSTATE_CTRL
        physics = np.empty(mujoco.mj_stateSize(self._model, flags))
        mujoco.mj_getState(self._model, self._data, physics, flags)
        bodies = self._fixture_bodies()
        robot = self._env.robots[0]
        return np.concatenate(
            [
                physics,
                self._model.body_pos[bodies].ravel(),
                self._model.body_quat[bodies].ravel(),
                np.asarray(robot.controller.goal_ori, dtype=np.float64).ravel(),
                np.asarray(robot.gripper.current_action, dtype=np.float64).ravel(),
            ]
        )

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
        where = f"{snapshot.suite}/{snapshot.task} seed {snapshot.seed}"
        if (snapshot.suite, snapshot.task) != (self.suite, self.task):
            raise SimulatorError(f"a snapshot of {where} cannot be restored in {self.suite}/{self.task}")
        self.reset(snapshot.seed, render=False)
        for action in snapshot.actions:
            self.step(action, render=False)
        if not np.array_equal(self.state(), snapshot.state):
            raise SimulatorError(
                f"{where}: {len(snapshot.actions)} recorded actions lead to another state than recorded; "
                "the simulator or the machine is not the one that recorded it"
            )
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
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    @property
    def _model(self):
        return self._env.sim.model._model

    @property
    def _data(self):
        return self._env.sim.data._data

    def _fixture_bodies(self) -> list[int]:
        return [self._env.obj_body_id[name] for name in self._env.fixtures_dict]

    def _place(self, seed: int) -> None:
        """Draws a placement as LIBERO does, from NumPy's global generator, which is left as it was found."""
        from robosuite.utils.errors import RandomizationError

        before = np.random.get_state()
        np.random.seed(seed)
        try:
            while True:
                try:
                    self._env.reset()
                    break
                except RandomizationError:
                    continue
        finally:
            np.random.set_state(before)
        if (index := shipped_index(seed, len(self._shipped))) is not None:
            self._env.sim.set_state_from_flattened(self._shipped[index])
        self._env.robots[0].gripper.current_action = np.zeros(2)
        self._data.qacc_warmstart[:] = 0
        self._env.sim.forward()
        self._env.robots[0].controller.update(force=True)
        self._env.robots[0].controller.reset_goal()

    def _advance(self, action: np.ndarray) -> None:
        """robosuite's own control period, without its sensors; afterwards poses and contacts are those of the state."""
        theirs = action.astype(np.float64)
        theirs[6] = -theirs[6]
        env = self._env
        for substep in range(int(env.control_timestep / env.model_timestep)):
            env.sim.forward()
            env._pre_action(theirs, policy_step=substep == 0)
            env.sim.step()
        env.sim.forward()
        env._post_process()

    def _judge(self) -> tuple[bool, float]:
        if bool(self._env._check_success()):
            return True, 1.0
        return False, progress(distances(self._env), self._initial, satisfied(self._env))

    def _observe(self, render: bool) -> Observation:
        """`proprio` [25]: positions and velocities of the arm's seven joints and of the two fingers, the hand's
        position [3] and orientation [4] (w x y z)."""
        robot, data = self._env.robots[0], self._data
        joints = [*robot._ref_joint_pos_indexes, *robot._ref_gripper_joint_pos_indexes]
        speeds = [*robot._ref_joint_vel_indexes, *robot._ref_gripper_joint_vel_indexes]
        hand = _pose(data.site_xpos[robot.eef_site_id], data.site_xmat[robot.eef_site_id])
        proprio = np.concatenate([data.qpos[joints], data.qvel[speeds], hand]).astype(np.float32)
        return Observation(self.render() if render else None, proprio, self.instruction)


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
        if str(folder) not in str(error):
            raise
        raise UserError(
            f"scene.suite: {suite}/{task} needs a mesh or texture that {folder} lacks: {error}; "
            "unset WORLDVLA_LIBERO_ASSETS to let hf-libero's assets be downloaded"
        ) from error
