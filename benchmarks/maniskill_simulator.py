"""`make benchmark-maniskill-simulator`: how fast ManiSkill resets, steps, draws and records, beside its own stepping.

Figures are per second of processor time, of all threads: what else runs on the machine then changes them little. Our
steps and those by ManiSkill's own controller, which asks the same inverse kinematics for joints, take turns in one
scene under the same actions, and must lead to the same state to the bit. Episodes are the scripted expert's.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from functools import partial

import numpy as np
import torch

from benchmarks.processor_clock import ProcessorClock
from benchmarks.result import figure, write
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.inverse_kinematics import damped_least_squares
from worldvla.sim.maniskill import SUITE, ManiSkillSimulator
from worldvla.sim.rollout import RolloutRequest, rollout

TASKS = ("PushCube-v1", "PullCube-v1", "PlaceSphere-v1", "PokeCube-v1", "LiftPegUpright-v1")
ROUNDS = 6
STEPS = 20
PICTURES = 5
MAX_STEPS, CHUNK = 64, 8
STRIDES = (1, 4)
OURS, THEIRS = "step", "step by ManiSkill's controller"


def main() -> None:
    os.environ.setdefault("LP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    figures = []
    ratios: dict[str, list[float]] = defaultdict(list)
    for task in TASKS:
        simulator = ManiSkillSimulator(task)
        spent = measure(simulator)
        simulator.close()
        works = {"reset": 1, OURS: STEPS, THEIRS: STEPS, "frame": PICTURES} | {
            recorded(stride): 1 for stride in STRIDES
        }
        for name, times in works.items():
            figures.append(figure(f"{task}: {name}", times / float(np.median(spent[name])), "/s of processor", ROUNDS))
        ratios[f"{OURS} against {THEIRS}"] += quotients(spent[THEIRS], spent[OURS])
        ratios["every fourth state drawn against every state"] += quotients(*(spent[recorded(one)] for one in STRIDES))
    for (name, values), least in zip(ratios.items(), (1.2, 1.5), strict=True):
        figures.append(figure(name, float(np.median(values)), "times", len(values), at_least=least))
    episode = {"actor": "the scripted expert", "max_steps": MAX_STEPS, "chunk": CHUNK, "settle": 1}
    protocol = {"tasks": TASKS, "rounds": ROUNDS, "steps": STEPS, "picture": "128 x 128, llvmpipe", "episode": episode}
    write("maniskill-simulator", protocol, figures)


def recorded(stride: int) -> str:
    return f"episode recorded, one state drawn in {stride}"


def quotients(numerators: Iterable[float], denominators: Iterable[float]) -> list[float]:
    return [one / other for one, other in zip(numerators, denominators, strict=True)]


def measure(simulator: ManiSkillSimulator) -> dict[str, list[float]]:
    """Processor seconds of each kind of work in each round."""
    clock = ProcessorClock()

    def step(action: np.ndarray) -> None:
        simulator.step(action, render=False)

    def record(stride: int) -> None:
        actor = ExpertSpec()
        request = RolloutRequest(SUITE, simulator.task, turn, actor, MAX_STEPS, CHUNK, settle=1, camera_stride=stride)
        rollout(simulator, actor.build(), request)

    simulator.reset(0)
    for turn in range(ROUNDS):
        actions = np.random.default_rng(turn).uniform(-1, 1, (STEPS, 7)).astype(np.float32)
        clock("reset", lambda seed: simulator.reset(seed, render=False), [turn])
        clock(OURS, step, actions)
        reached = simulator.state()
        clock("frame", lambda _: simulator.render(), range(PICTURES))
        simulator.reset(turn, render=False)
        use_maniskills_controller(simulator)
        clock(THEIRS, step, actions)
        assert np.array_equal(simulator.state(), reached)
        for stride in STRIDES:
            clock(recorded(stride), record, [stride])
    return clock.seconds


def use_maniskills_controller(simulator: ManiSkillSimulator) -> None:
    """Until the next reset, in place of `worldvla.sim.arm_control`, with the same inverse kinematics."""
    controller = simulator._env.agent.controller.controllers["arm"]
    find_joints = damped_least_squares(controller.kinematics)

    def compute_ik(pose, q0: torch.Tensor, **_) -> torch.Tensor:
        return torch.tensor(find_joints(q0[0].numpy(), pose.sp.to_transformation_matrix())[None], dtype=q0.dtype)

    controller.kinematics.compute_ik = compute_ik
    controller.set_action = partial(type(controller).set_action, controller)


if __name__ == "__main__":
    main()
