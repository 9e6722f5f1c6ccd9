"""The episodes of `benchmarks.loading`: scripted experts in ManiSkill as the simulator rendered them, and as stored.

Rendering is slow, so each episode counts sixteen times: mirrored or not, upside down or not, shifted by a few pixels or
not. Every frame is another picture, as hard to decode as the rendered one. Files of DATA/:

    source.npy   uint8 [N, 128, 128, 3], every frame before it was encoded, episodes end to end
    stored.npy   the same as decoded from what the lake stores
    numbers.npz  lengths [E] of episodes in frames, actions [N, 7] (0 in the last frame), proprio [N, P]
    lake/        the tables
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from worldvla.episodes.episode import Episode
from worldvla.episodes.images import decode_image, encode_image
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import write_episodes
from worldvla.lake.store import Lake
from worldvla.sim import suites
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.protocol import Observation
from worldvla.sim.rollout import RolloutRequest, rollout

SUITE = "maniskill_tabletop"
TASKS = ("PushCube-v1", "StackCube-v1", "PullCube-v1")
TURNS = tuple(product((1, -1), (1, -1), (0, 5, 11, 17)))  # strides over rows and columns, shift in pixels
MAX_STEPS, CHUNK, SETTLE = 64, 8, 2


@dataclass(frozen=True)
class Ingested:
    """What the lake took: frames a second of processor time, of encoding and writing, from pixels in memory."""

    frames: int
    episodes: int
    frames_per_second: float


def make(folder: Path, episodes_per_task: int) -> Ingested:
    """Renders, writes the files, and times the lake's ingest."""
    recorded = list(_recorded(episodes_per_task))
    variants = [
        (
            replace(episode, settings={**episode.settings, "turn": number}, images=[]),
            np.roll(frames[:, ::rows, ::columns], shift, axis=2),
        )
        for number, (rows, columns, shift) in enumerate(TURNS)
        for episode, frames in recorded
    ]
    begin = time.process_time()
    episodes = [replace(one, images=[encode_image(frame) for frame in frames]) for one, frames in variants]
    write_episodes(Lake(folder / "lake"), episodes, Commit("benchmark", "demonstrations"))
    seconds = time.process_time() - begin
    np.save(folder / "source.npy", np.concatenate([frames for _, frames in variants]))
    np.save(folder / "stored.npy", np.stack([decode_image(data) for one in episodes for data in one.images]))
    np.savez(
        folder / "numbers.npz",
        lengths=np.array([one.length + 1 for one in episodes]),
        actions=np.concatenate([np.pad(one.actions, ((0, 1), (0, 0))) for one in episodes]),
        proprio=np.concatenate([one.proprio for one in episodes]),
    )
    count = sum(one.length + 1 for one in episodes)
    return Ingested(count, len(episodes), count / seconds)


class _Watched:
    """A simulator whose pictures are kept as they were rendered."""

    def __init__(self, simulator) -> None:
        self._simulator = simulator
        self.frames: list[np.ndarray] = []

    def __getattr__(self, name: str):
        return getattr(self._simulator, name)

    def reset(self, seed: int, render: bool = True) -> Observation:
        observation = self._simulator.reset(seed, render)
        self.frames = [observation.image.copy()]
        return observation

    def step(self, action: np.ndarray, render: bool = True):
        result = self._simulator.step(action, render)
        self.frames.append(result.observation.image.copy())
        return result


def _recorded(per_task: int) -> Iterator[tuple[Episode, np.ndarray]]:
    """Episodes and their frames, uint8 [T + 1, H, W, 3]."""
    for task in TASKS:
        simulator = _Watched(suites.make(SUITE, task))
        spec = ExpertSpec()
        actor = spec.build()
        for seed in range(per_task):
            request = RolloutRequest(SUITE, task, seed, spec, MAX_STEPS, CHUNK, settle=SETTLE)
            yield rollout(simulator, actor, request), np.stack(simulator.frames)
        simulator.close()
