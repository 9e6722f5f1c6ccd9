"""One episode: an actor acts in a simulator until success or the last allowed action."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from worldvla.episodes.episode import Episode
from worldvla.episodes.images import decode_image, encode_image
from worldvla.errors import UserError
from worldvla.sim import suites
from worldvla.sim.actors import Actor, ActorSpec
from worldvla.sim.protocol import Observation, Simulator


@dataclass(frozen=True)
class RolloutRequest:
    """Which episode to make.

    `chunk`: the episode's length is a multiple of it; `max_steps` must be one. `render`
    "every_step" records a picture of every state, or of every `camera_stride`-th, a divisor of the chunk;
    "chunk" renders only what the actor looks at and records none. `settle` is the number of chunks that the episode
    goes on after the one with its first success, so that a recorded success can be seen and not just begins.
    """

    suite: str
    task: str
    seed: int
    actor: ActorSpec
    max_steps: int
    chunk: int
    render: Literal["every_step", "chunk"] = "every_step"
    settle: int = 0
    camera_stride: int = 1

    def __post_init__(self) -> None:
        if self.max_steps % self.chunk:
            raise UserError(f"scene.max_steps: {self.max_steps} is not a multiple of scene.chunk, {self.chunk}")
        if self.chunk % self.camera_stride:
            raise UserError(f"scene.camera_stride: {self.camera_stride} does not divide scene.chunk, {self.chunk}")

    @property
    def settings(self) -> dict:
        """What `Episode.settings` records: all that shapes the episode besides suite, task, seed and actor."""
        own = {
            "suite_version": suites.version(self.suite),
            "max_steps": self.max_steps,
            "chunk": self.chunk,
            "settle": self.settle,
        }
        if self.camera_stride > 1:
            own["camera_stride"] = self.camera_stride
        return own | self.actor.settings


def rollout(simulator: Simulator, actor: Actor, request: RolloutRequest) -> Episode:
    """Records T actions and T + 1 states.

    T is `settle` chunks after the end of the chunk in which success first occurs, at most `max_steps`.

    The actor sees frames as they decode from what is stored, so that a policy meets in the
    simulator what it was trained on.
    """
    recorded = request.render == "every_step"
    watching = getattr(actor, "needs_image", True)
    images: list[bytes] = []

    def drawn(state: int) -> bool:
        return recorded and state % request.camera_stride == 0

    def seen(observation: Observation, wanted: bool) -> Observation:
        if recorded and observation.image is None:
            images.append(b"")
        elif recorded:
            images.append(encode_image(observation.image))
            return replace(observation, image=decode_image(images[-1]) if wanted else None)
        return replace(observation, image=decode_image(encode_image(simulator.render()))) if wanted else observation

    observation = simulator.reset(request.seed, render=recorded)
    actor.reset(simulator, request.seed)
    reward, progress = [float(simulator.success())], [simulator.progress()]
    proprio, actions = [observation.proprio], []
    pending: list[np.ndarray] = []
    observation = seen(observation, watching)
    last = request.max_steps
    while len(actions) < last:
        if not pending:
            pending = list(actor.act(observation))
        action = pending.pop(0)
        actions.append(action)
        result = simulator.step(action, render=drawn(len(actions)))
        proprio.append(result.observation.proprio)
        if result.success and not any(reward):
            chunks = -(-len(actions) // request.chunk) + request.settle
            last = min(chunks * request.chunk, request.max_steps)
        reward.append(float(result.success))
        progress.append(result.progress)
        observation = seen(result.observation, watching and not pending and len(actions) < last)
    return Episode(
        suite=request.suite,
        task=request.task,
        instruction=simulator.instruction,
        seed=request.seed,
        source=request.actor.source,
        actor=request.actor.name,
        images=images,
        proprio=np.stack(proprio).astype(np.float32),
        actions=np.stack(actions).astype(np.float32),
        reward=np.array(reward, dtype=np.float32),
        progress=np.array(progress, dtype=np.float32),
        initial_state=simulator.initial_state(),
        settings=request.settings,
    )
