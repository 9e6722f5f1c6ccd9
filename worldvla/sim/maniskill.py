"""ManiSkill on the processor: one environment, stepped without rendering unless a picture is asked for.

PhysX keeps contact caches between episodes of one scene, so an episode would depend on
those before it. Every reset therefore builds the scene anew (40 ms), after which the same
seed and actions give bitwise the same states and pictures in any process.

Actions are `pd_ee_delta_pose` with its own scale. The controller's drive covers about
four tenths of a commanded delta in one period of 1/20 s: at full deflection the hand moves
2 cm and turns 0.1 rad a step. How joints are found for it: `inverse_kinematics.py`.
"""

import gc
import logging
import os

import numpy as np

from worldvla.sim import arm, shaders
from worldvla.sim.arm_control import single_arm
from worldvla.sim.culling import Culling
from worldvla.sim.protocol import ACTION_SIZE, Observation, SimulatorError, Snapshot, StepResult
from worldvla.sim.tabletop import TASKS

SUITE = "maniskill_tabletop"
IMAGE_SIZE = 128
TRANSLATION = 0.5  # of the controller's own range, 0.1 m
ROTATION = 0.25  # radians
ALMOST = 0.99  # the most progress a state that is no success can show


class ManiSkillSimulator:
    """One tabletop task; see `worldvla.sim.protocol.Simulator`. `rendering=False` saves the renderer's start.

    `damped=False` finds joints as ManiSkill does, to repeat what was recorded there.
    """

    suite = SUITE

    def __init__(self, task: str, rendering: bool = True, damped: bool = True) -> None:
        self.task = task
        self._task = TASKS[task]
        self.instruction = self._task.instruction
        self._env = _make(task, rendering)
        self._damped = damped
        self._seed: int | None = None
        self._culling: Culling | None = None

    def reset(self, seed: int, render: bool = True) -> Observation:
        self._env.reset(seed=seed, options={"reconfigure": True})
        controller = self._env.agent.controller.controllers["arm"]
        # Read at every action, and ManiSkill's own value is negative: it would turn against the sign of the action.
        controller.config.rot_lower = ROTATION
        if self._damped:
            controller.set_action = single_arm(controller)
        self._seed = seed
        self._actions: list[np.ndarray] = []
        self._culling = None
        self._initial = self.privileged()
        self._initial_state = self.state()
        return self._observe(render)

    def initial_state(self, seed: int | None = None) -> np.ndarray:
        """`state()` after `reset(seed)`, fast: what a reset places does not depend on the scene's history."""
        if seed is None:
            return self._initial_state
        self._env.reset(seed=seed)
        self._seed = None
        return self.state()

    def step(self, action: np.ndarray, render: bool = True) -> StepResult:
        if self._seed is None:
            raise SimulatorError(f"{self.suite}/{self.task}: step before reset")
        action = np.clip(np.asarray(action, dtype=np.float32), -1.0, 1.0)
        self._actions.append(action)
        scaled = action.copy()
        scaled[:3] *= TRANSLATION
        *_, told = self._env.step(scaled)
        success = bool(told["success"][0])
        return StepResult(self._observe(render), success, self._progress(success))

    def render(self) -> np.ndarray:
        if self._culling is None:
            self._culling = self._cull()
        self._culling()
        for hidden in self._env._hidden_objects:
            hidden.hide_visual()
        self._env.scene.update_render(update_sensors=True, update_human_render_cameras=False)
        camera = self._env.scene.sensors["base_camera"]
        camera.capture()
        rgb = camera.get_obs(rgb=True, depth=False, position=False, segmentation=False)["rgb"]
        return rgb[0].numpy().copy()

    def state(self) -> np.ndarray:
        return self._env.get_state()[0].numpy().astype(np.float64)

    def success(self) -> bool:
        return bool(self._env.evaluate()["success"][0])

    def progress(self) -> float:
        return self._progress(self.success())

    def snapshot(self) -> Snapshot:
        if self._seed is None:
            raise SimulatorError(f"{self.suite}/{self.task}: snapshot before reset")
        actions = np.stack(self._actions) if self._actions else np.zeros((0, ACTION_SIZE), dtype=np.float32)
        return Snapshot(self.suite, self.task, self._seed, actions, self.state())

    def restore(self, snapshot: Snapshot, render: bool = True) -> Observation:
        """Repeats the snapshot's actions: PhysX cannot be handed its contact caches, so a set state would diverge."""
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
        """`tcp` and the task's objects: poses [7]; `gripper` [1]: half the opening in metres."""
        agent = self._env.agent
        scene = {name: _pose(getattr(self._env, attribute)) for name, attribute in self._task.objects.items()}
        return scene | {"tcp": _pose(agent.tcp), "gripper": agent.robot.get_qpos()[0, -1:].numpy().astype(np.float64)}

    def close(self) -> None:
        self._env.close()

    def _cull(self) -> Culling:
        links = [link._objs[0].entity for link in self._env.agent.robot.links]
        camera = self._env.scene.sensors["base_camera"].config
        return Culling(links, camera.pose.sp, camera.fov)

    def _progress(self, success: bool) -> float:
        return 1.0 if success else min(self._task.progress(self.privileged(), self._initial), ALMOST)

    def _observe(self, render: bool) -> Observation:
        """`proprio` [27]: positions, then velocities, of the arm's seven joints and the two fingers; of the hand the
        position [3] and the first two columns [6] of its rotation matrix, which have no jumps as quaternions do."""
        robot, hand = self._env.agent.robot, self._env.agent.tcp.pose.sp.to_transformation_matrix()
        senses = [robot.get_qpos()[0].numpy(), robot.get_qvel()[0].numpy(), hand[:3, 3], hand[:3, :2].T.ravel()]
        proprio = np.concatenate(senses).astype(np.float32)
        return Observation(self.render() if render else None, proprio, self.instruction)


def _pose(entity) -> np.ndarray:
    return entity.pose.raw_pose[0].numpy().astype(np.float64)


def _make(task: str, rendering: bool):
    os.environ.setdefault("MS_RENDERER_LOG_LEVEL", "error")
    import gymnasium
    import mani_skill.envs  # noqa: F401  registers the environments
    from mani_skill.utils.sapien_utils import look_at

    logging.getLogger("mani_skill ").setLevel(logging.ERROR)
    arm.register()
    # Every reset collects garbage, and walking the imported modules takes most of its time.
    gc.freeze()
    camera = TASKS[task]
    environment = gymnasium.make(
        task,
        num_envs=1,
        obs_mode="none",
        reward_mode="none",
        control_mode="pd_ee_delta_pose",
        robot_uids="panda",
        sim_backend="cpu",
        render_backend="cpu" if rendering else "none",
        sensor_configs={
            "shader_pack": shaders.register(),
            "width": IMAGE_SIZE,
            "height": IMAGE_SIZE,
            "base_camera": {"pose": look_at(camera.eye, camera.target), "fov": camera.fov},
        },
    )
    return environment.unwrapped
