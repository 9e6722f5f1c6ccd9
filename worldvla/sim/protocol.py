"""What a simulator is to the rest of the project.

States are float64 vectors that mean something only to the simulator they came from.
Pictures are rendered only when asked for: rendering costs several times a step.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

ACTION_SIZE = 7


class SimulatorError(RuntimeError):
    """The simulator did something it must not: the message names suite, task and seed."""


@dataclass(frozen=True)
class Observation:
    """`image` uint8 [H, W, 3] as rendered, or None; `proprio` float32 [P]; what to do, in words."""

    image: np.ndarray | None
    proprio: np.ndarray
    instruction: str


@dataclass(frozen=True)
class StepResult:
    """What one action led to. `progress` is in [0, 1], and 1 exactly when `success`."""

    observation: Observation
    success: bool
    progress: float


@dataclass(frozen=True)
class Snapshot:
    """A moment of an episode: the actions that led there (float32 [T, 7]) and the state they must lead to."""

    suite: str
    task: str
    seed: int
    actions: np.ndarray
    state: np.ndarray


class Simulator(Protocol):
    """One task of one suite. After `reset(seed)` everything is a function of the seed and the actions."""

    suite: str
    task: str
    instruction: str

    def reset(self, seed: int, render: bool = True) -> Observation: ...

    def step(self, action: np.ndarray, render: bool = True) -> StepResult:
        """Applies float32 [7] in [-1, 1] for one control period: translation, rotation about the
        base's axes, gripper (1 open, -1 closed). Never ends or restarts the episode by itself."""
        ...

    def render(self) -> np.ndarray:
        """uint8 [H, W, 3] of the current state; does not change it."""
        ...

    def state(self) -> np.ndarray:
        """float64 [S]."""
        ...

    def initial_state(self, seed: int | None = None) -> np.ndarray:
        """float64: what `reset(seed)` draws, without the rest of the reset; of the last reset where no seed is given.
        Splits follow its hash, so it holds no result of physics, whose last bits depend on the processor."""
        ...

    def success(self) -> bool: ...

    def progress(self) -> float: ...

    def snapshot(self) -> Snapshot: ...

    def restore(self, snapshot: Snapshot, render: bool = True) -> Observation:
        """The exact moment: what follows is bitwise what would have followed. Raises `SimulatorError` if the
        state cannot be reached again, as after a change of the simulator's version."""
        ...

    def privileged(self) -> dict[str, np.ndarray]:
        """What no policy sees, for scripted experts: poses float64 [7] (x y z, quaternion w x y z), by name."""
        ...

    def close(self) -> None: ...
