"""Actors: what turns observations into action chunks, and the recipes that build them in a worker."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from worldvla.episodes.episode import Source
from worldvla.sim.experts.motion import Aim, servo
from worldvla.sim.experts.plans import plan_for
from worldvla.sim.protocol import Observation, Simulator

EXPERT_VERSION = 1  # part of every expert episode's identity: raise it when an expert acts differently


class Actor(Protocol):
    """`needs_image` False spares the rendering of frames that nobody records; absent means True."""

    def reset(self, simulator: Simulator, seed: int) -> None:
        """Called after the simulator's reset, with the episode's seed."""
        ...

    def act(self, observation: Observation) -> np.ndarray:
        """float32 [K, 7]: the next K actions. The image is as decoded from its stored encoding."""
        ...


class ActorSpec(Protocol):
    """Picklable: it travels to the worker, which builds the actor once and uses it for many episodes."""

    @property
    def source(self) -> Source: ...

    @property
    def name(self) -> str:
        """What `Episode.actor` records."""
        ...

    @property
    def settings(self) -> dict:
        """Everything else that shapes the episodes; what `Episode.settings` records."""
        ...

    def build(self) -> Actor: ...


@dataclass(frozen=True)
class ExpertSpec:
    """A scripted expert.

    `perturbation` 0 demonstrates the task; 1 aims wrongly such that on PushCube about a third
    of the episodes succeed, a third end near success and a third fail. `action_noise` is the
    standard deviation added to the actions, for states beside the straight path.
    """

    perturbation: float = 0.0
    action_noise: float = 0.1

    @property
    def source(self) -> Source:
        return Source.PERTURBED if self.perturbation > 0 else Source.EXPERT

    @property
    def name(self) -> str:
        return f"expert-{EXPERT_VERSION}"

    @property
    def settings(self) -> dict:
        return {"perturbation": self.perturbation, "action_noise": self.action_noise}

    def build(self) -> "Expert":
        return Expert(self)


class Expert:
    """Emits one action at a time, from privileged state."""

    needs_image = False

    def __init__(self, spec: ExpertSpec) -> None:
        self._spec = spec

    def reset(self, simulator: Simulator, seed: int) -> None:
        self._random = np.random.default_rng([seed, EXPERT_VERSION])
        self._simulator = simulator
        plan = plan_for(simulator.suite, simulator.task)
        self._targets = plan(simulator.privileged, draw_aim(self._random, self._spec.perturbation))

    def act(self, observation: Observation) -> np.ndarray:
        target = next(self._targets)
        action = servo(target, self._simulator.privileged()["tcp"])
        noise = self._random.normal(0.0, self._spec.action_noise, 6)
        noise[3:] *= 0.3
        action[:6] += noise.astype(np.float32)
        return np.clip(action, -1.0, 1.0)[None]


def draw_aim(random: np.random.Generator, perturbation: float) -> Aim:
    """A true expert varies in speed only. A perturbed one touches beside the right point (standard deviation
    3 cm), half of the time gives up early, and opens the gripper late."""
    speed = random.uniform(0.75, 1.0)
    offset = random.normal(0.0, 0.03, 2) * perturbation
    gives_up = random.uniform() < 0.5 * perturbation
    extent = random.uniform(0.25, 0.75)
    delay = int(random.integers(0, 6) * min(perturbation, 1.0))
    return Aim(offset=offset, extent=extent if gives_up else 1.0, delay=delay, speed=speed)
