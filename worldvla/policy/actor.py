"""The policy as an actor: what a rollout worker builds and asks for chunks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldvla.episodes.episode import Source


@dataclass(frozen=True)
class PolicySpec:
    """An actor that a spawned worker can build: safetensors at `weights_path`, and `Policy.config`.

    `policy_id` is the model's digest and names the actor in every episode it records.
    """

    weights_path: str
    config: dict
    policy_id: str
    temperature: float

    @property
    def source(self) -> Source:
        return Source.POLICY

    @property
    def name(self) -> str:
        return self.policy_id

    @property
    def settings(self) -> dict:
        return {"temperature": self.temperature}

    def build(self) -> "PolicyActor":
        from worldvla.policy.vla import Policy

        return PolicyActor(Policy.from_bytes(self.config, Path(self.weights_path).read_bytes()), self.temperature)


class PolicyActor:
    """Acts on one observation at a time, on the CPU; its choices are a pure function of the episode's seed."""

    def __init__(self, policy, temperature: float):
        self.policy = policy
        self.temperature = temperature

    def reset(self, simulator, seed: int) -> None:
        from worldvla.training.device import generator

        self.generator = generator(seed, "act")

    def act(self, observation) -> np.ndarray:
        """float32 [K, 7]: the chunk to carry out next."""
        chunk = self.policy.act(observation.image[None], [observation.instruction], self.temperature, self.generator)
        return chunk.actions[0].numpy()
