"""The episode: one recorded attempt at a task, and the digests that name it.

An episode of T actions has T + 1 observations. Row t of the `frames` table holds
observation t, the action taken there (none at t = T), and whether the state that
observation t shows is a success. Every digest is a SHA-256 over a canonical byte
layout, so the same seed and the same code name the same episode on the same machine.
"""

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np


class Source(enum.StrEnum):
    """Who acted."""

    EXPERT = "expert"
    PERTURBED = "perturbed"
    POLICY = "policy"
    OPEN_LOOP = "open_loop"
    TELEOP = "teleop"
    IMPORT = "import"


ANNOTATED = (Source.TELEOP, Source.IMPORT)
# Where an episode came from: two of one origin are one attempt.
ORIGIN = ("suite", "task", "seed", "source", "actor", "settings")


@dataclass(frozen=True)
class Episode:
    """One attempt, with everything that a later reader needs to repeat or judge it.

    Shapes: `images` T + 1 encoded RGB pictures (empty when nothing was rendered; no bytes for a state that was not
    drawn, see `camera_stride`);
    `proprio` float32 [T + 1, P]; `actions` float32 [T, 7] in [-1, 1] (translation,
    rotation, gripper); `reward` float32 [T + 1], 1 where the state is a success;
    `progress` float32 [T + 1] in [0, 1]; `initial_state` float64 [S], the simulator's.
    `actor` names what acted: an expert with its version, or a policy's digest.
    `settings` is everything else that shaped the episode (perturbation, temperature).
    `timestamps` float64 [T + 1], seconds on the recorder's clock, NaN where a frame has none. A simulator
    has no clock: its state t is at t control periods by definition, and the array is None.
    """

    suite: str
    task: str
    instruction: str
    seed: int
    source: Source
    actor: str
    images: list[bytes]
    proprio: np.ndarray
    actions: np.ndarray
    reward: np.ndarray
    progress: np.ndarray
    initial_state: np.ndarray
    settings: dict = field(default_factory=dict)
    timestamps: np.ndarray | None = None

    @property
    def length(self) -> int:
        """T, the number of actions."""
        return len(self.actions)

    @property
    def camera_stride(self) -> int:
        """Every so many states have a picture, beginning with the first one."""
        return camera_stride(self.settings)

    @property
    def success(self) -> bool:
        """Whether any state of the episode is a success."""
        return bool((self.reward > 0.5).any())

    @cached_property
    def initial_state_digest(self) -> str:
        return initial_state_digest(self.suite, self.task, self.initial_state)

    @cached_property
    def content_digest(self) -> str:
        """Digest of what was recorded, whoever recorded it: finds duplicates."""
        digest = hashlib.sha256()
        for array in (self.proprio, self.actions, self.reward, self.progress):
            array = np.ascontiguousarray(array, dtype=np.float32)
            digest.update(str(array.shape).encode())
            digest.update(array.tobytes())
        for image in self.images:
            digest.update(hashlib.sha256(image).digest())
        if self.timestamps is not None:
            digest.update(np.ascontiguousarray(self.timestamps, dtype=np.float64).tobytes())
        return digest.hexdigest()

    @cached_property
    def episode_id(self) -> str:
        """Digest of where the episode came from and of its content: the key of all lineage.

        What a person wrote down is content too: the instruction of an imported or teleoperated
        episode. A simulator's follows from suite and task.
        """
        return episode_id({name: getattr(self, name) for name in ORIGIN}, self.content_digest, self.instruction)


def episode_id(origin: Mapping[str, Any], content_digest: str, instruction: str) -> str:
    """The id of an episode of this origin (by `ORIGIN`, `settings` as a mapping), content and instruction."""
    named = {**{name: origin[name] for name in ORIGIN}, "source": str(origin["source"]), "content": content_digest}
    if origin["source"] in ANNOTATED:
        named["instruction"] = instruction
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:32]


def camera_stride(settings: Mapping[str, Any]) -> int:
    """Every so many states of an episode with these `settings` have a picture; each, where they do not say."""
    stride = settings.get("camera_stride", 1)
    return stride if isinstance(stride, int) and stride > 0 else 1


def initial_state_digest(suite: str, task: str, state: np.ndarray) -> str:
    """Digest of a simulator's state after reset; positions rounded to 1e-6 (metres, radians)."""
    rounded = np.round(np.asarray(state, dtype=np.float64), 6) + 0.0
    digest = hashlib.sha256(f"{suite}/{task}/{rounded.shape}".encode())
    digest.update(rounded.tobytes())
    return digest.hexdigest()[:32]
