"""The policy as an actor: what a rollout worker builds and asks for chunks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldvla.config import ActionNoise
from worldvla.episodes.episode import Source

if TYPE_CHECKING:
    from worldvla.policy.vla import Policy

ACTING_VERSION = 1  # of every rollout and evaluation: raise it when a policy of the same weights acts otherwise


def acting() -> dict[str, int]:
    """What settings and protocols say of how policies act: nothing, as long as it is the first way."""
    return {"acting": ACTING_VERSION} if ACTING_VERSION > 1 else {}


@dataclass(frozen=True)
class PolicySpec:
    """An actor that a spawned worker can build: safetensors at `weights_path`, and `Policy.config`.

    `policy_id` is the model's digest and names the actor in every episode it records.
    """

    weights_path: str
    config: dict
    policy_id: str
    noise: ActionNoise

    @property
    def source(self) -> Source:
        return Source.POLICY

    @property
    def name(self) -> str:
        return self.policy_id

    @property
    def settings(self) -> dict:
        noise = self.noise.model_dump()
        return (noise if self.noise.coherence else {"temperature": self.noise.temperature}) | acting()

    def build(self) -> "PolicyActor":
        from worldvla.policy.vla import Policy

        return PolicyActor(Policy.from_bytes(self.config, Path(self.weights_path).read_bytes()), self.noise)


class PolicyActor:
    """Acts on one observation at a time, on the CPU; its choices are a pure function of the episode's seed."""

    def __init__(self, policy: "Policy", noise: ActionNoise):
        self.policy = policy
        self.noise = noise

    def reset(self, simulator, seed: int) -> None:
        from worldvla.policy.noise import Draws
        from worldvla.training.device import generator

        self.draws = Draws(self.noise, 1, self.policy.chunk, generator(seed, "act"))

    def act(self, observation) -> np.ndarray:
        """float32 [K, 7]: the chunk to carry out next."""
        chunk = self.policy.act(
            observation.image[None], [observation.instruction], self.noise.temperature, self.draws.next()
        )
        return chunk.actions[0].numpy()
