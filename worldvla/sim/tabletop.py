"""The tasks of suite `maniskill_tabletop`: words, camera, horizon, and how far along a state is.

ManiSkill decides success. Its dense rewards jump between stages and differ in scale, so
progress is defined here, from privileged state: reaching the object counts 0.2, moving it
as the task wants the rest. The cameras are not ManiSkill's own, in which a 4 cm cube is
four pixels half behind the gripper: each frames its task's workspace, from the side on
which the gripper does not hide the object.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

VERSION = 6  # raise it when an episode of the same seed and actor would come out differently

Scene = dict[str, np.ndarray]
GRIPPER_OPEN = 0.04  # metres between the middle and one finger


@dataclass(frozen=True)
class TabletopTask:
    """`progress(scene, initial scene)` in [0, 1]; `objects` maps names to attributes of ManiSkill's environment;
    `eye` and `target` in metres, `fov` in radians; `horizon` is how many actions an expert may need."""

    instruction: str
    horizon: int
    objects: dict[str, str]
    progress: Callable[[Scene, Scene], float]
    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    fov: float


def covered(initial: float, now: float, enough: float = 0.0) -> float:
    """The share of the way from a distance `initial` to a distance `enough` that is behind us."""
    return float(np.clip((initial - now) / max(initial - enough, 1e-6), 0.0, 1.0))


def reached(tcp: np.ndarray, point: np.ndarray) -> float:
    """1 at the point, 0.6 at 5 cm, 0.1 at 30 cm."""
    return float(np.exp(-np.linalg.norm(tcp[:3] - point) / 0.1))


def sliding(side: float, radius: float) -> Callable[[Scene, Scene], float]:
    """The cube must slide to within `radius` of the goal; the hand belongs on the `side` (sign of x) of the cube."""

    def progress(scene: Scene, initial: Scene) -> float:
        def distance(s: Scene) -> float:
            return float(np.linalg.norm(s["cube"][:2] - s["goal"][:2]))

        moved = covered(distance(initial), distance(scene), radius)
        contact = scene["cube"][:3] + np.array([side * 0.03, 0.0, 0.0])
        return 0.2 * max(reached(scene["tcp"], contact), moved) + 0.8 * moved

    return progress


def placing(item: str, base: str, height: float) -> Callable[[Scene, Scene], float]:
    """The item must rest `height` above the base's centre, let go."""

    def progress(scene: Scene, initial: Scene) -> float:
        def distance(s: Scene) -> float:
            return float(np.linalg.norm(s[item][:3] - s[base][:3] - np.array([0.0, 0.0, height])))

        moved = covered(distance(initial), distance(scene), 0.005)
        released = float(scene["gripper"][0]) / GRIPPER_OPEN if moved > 0.9 else 0.0
        return 0.2 * max(reached(scene["tcp"], scene[item][:3]), moved) + 0.6 * moved + 0.2 * min(released, 1.0)

    return progress


def poking(scene: Scene, initial: Scene) -> float:
    """The peg's head must meet the cube and push it to within 5 cm of the goal."""

    def gap(s: Scene) -> float:
        return float(np.linalg.norm(s["cube"][:2] - s["peg"][:2] - np.array([0.12, 0.0])))

    def distance(s: Scene) -> float:
        return float(np.linalg.norm(s["cube"][:2] - s["goal"][:2]))

    moved = covered(distance(initial), distance(scene), 0.05)
    met = max(covered(gap(initial), gap(scene), 0.03), moved)
    return 0.2 * max(reached(scene["tcp"], scene["peg"][:3]), met) + 0.2 * met + 0.6 * moved


def standing(half_length: float) -> Callable[[Scene, Scene], float]:
    """The peg must stand on the table on either end."""

    def progress(scene: Scene, initial: Scene) -> float:
        w, x, y, z = scene["peg"][3:]
        turned = float(np.arcsin(np.clip(abs(2 * (x * z - w * y)), 0.0, 1.0)) / (np.pi / 2))
        down = max(0.0, 1 - abs(scene["peg"][2] - half_length) / 0.05) if turned > 0.9 else 0.0
        return 0.2 * max(reached(scene["tcp"], scene["peg"][:3]), turned) + 0.6 * turned + 0.2 * down

    return progress


TASKS: dict[str, TabletopTask] = {
    "PushCube-v1": TabletopTask(
        instruction="push the blue cube onto the red and white target",
        horizon=48,
        objects={"cube": "obj", "goal": "goal_region"},
        progress=sliding(side=-1.0, radius=0.1),
        eye=(0.85, 0.0, 0.75),
        target=(0.1, 0.0, 0.01),
        fov=0.48,
    ),
    "PullCube-v1": TabletopTask(
        instruction="pull the blue cube onto the red and white target",
        horizon=48,
        objects={"cube": "obj", "goal": "goal_region"},
        progress=sliding(side=1.0, radius=0.1),
        eye=(-0.74, -0.71, 0.76),
        target=(-0.12, 0.01, 0.04),
        fov=0.46,
    ),
    "StackCube-v1": TabletopTask(
        instruction="stack the red cube on the green cube",
        horizon=64,
        objects={"item": "cubeA", "base": "cubeB"},
        progress=placing("item", "base", height=0.04),
        eye=(0.6, 0.0, 0.9),
        target=(-0.01, 0.0, 0.0),
        fov=0.6,
    ),
    "PlaceSphere-v1": TabletopTask(
        instruction="place the blue ball in the bin",
        horizon=64,
        objects={"item": "obj", "base": "bin"},
        progress=placing("item", "base", height=0.0225),
        eye=(0.8, 0.0, 0.75),
        target=(0.0, 0.0, 0.04),
        fov=0.3,
    ),
    "PokeCube-v1": TabletopTask(
        instruction="poke the red cube onto the target with the peg",
        horizon=64,
        objects={"peg": "peg", "cube": "cube", "goal": "goal_region"},
        progress=poking,
        eye=(0.95, 0.0, 0.75),
        target=(0.14, 0.0, 0.01),
        fov=0.5,
    ),
    "LiftPegUpright-v1": TabletopTask(
        instruction="stand the peg upright",
        horizon=64,
        objects={"peg": "peg"},
        progress=standing(half_length=0.12),
        eye=(0.07, -0.95, 0.4),
        target=(0.07, 0.0, 0.13),
        fov=0.48,
    ),
}
