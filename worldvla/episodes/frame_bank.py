"""FrameBank: decoded episodes laid end to end, the form every model trains on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

# The pictures uint8 [M, H, W, 3] of frames int64 [M] of a bank: its `images[frames]`, or read anew where it has none.
Pictures = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class FrameBank:
    """E episodes of N frames in all, concatenated in the order of `episode_ids`.

    Shapes: `images` uint8 [N, H, W, 3]; `actions` float32 [N, 7], the action taken at a
    frame, zero at an episode's last frame; `proprio` float32 [N, P], what the robot senses of itself, NaN in
    episodes where that is of another width than in most; `reward` and `progress` float32 [N];
    `starts` int64 [E], each episode's first frame; `lengths` int64 [E], its number of
    frames (actions + 1). `tasks`, `instructions`, `success` (bool) have one entry an episode.
    For readers that need no pictures `images` is of H = W = 0. `camera_strides` int64 [E]: every so many frames of an
    episode were drawn, each where it is None; the `images` of the others are black.
    """

    episode_ids: list[str]
    tasks: list[str]
    instructions: list[str]
    success: np.ndarray
    images: np.ndarray
    actions: np.ndarray
    proprio: np.ndarray
    reward: np.ndarray
    progress: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    camera_strides: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.episode_ids)

    @property
    def frame_count(self) -> int:
        return len(self.images)

    def frames_of(self, episode: int) -> slice:
        """The frames of the episode with this index."""
        start = int(self.starts[episode])
        return slice(start, start + int(self.lengths[episode]))

    def episode_of_frame(self) -> np.ndarray:
        """int64 [N]: the index of the episode each frame belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def first_of_episodes(self, frames: np.ndarray) -> np.ndarray:
        """int64: of ascending frames int64 the first of every episode that has any."""
        _, firsts = np.unique(self.episode_of_frame()[frames], return_index=True)
        return frames[firsts]

    def drawn_of(self, episode: int) -> np.ndarray:
        """int64: the frames of the episode with this index that have a picture."""
        frames = self.frames_of(episode)
        stride = 1 if self.camera_strides is None else int(self.camera_strides[episode])
        return np.arange(frames.start, frames.stop, stride)

    def drawn(self) -> np.ndarray:
        """bool [N]: which frames have a picture."""
        drawn = np.zeros(self.frame_count, bool)
        for episode in range(len(self)):
            drawn[self.drawn_of(episode)] = True
        return drawn

    def travelled(self) -> np.ndarray:
        """float32 [N, 7]: the sum of all actions that an episode took before each of its frames."""
        sums = np.zeros_like(self.actions)
        for episode in range(len(self)):
            frames = self.frames_of(episode)
            sums[frames.start + 1 : frames.stop] = self.actions[frames][:-1].cumsum(0)
        return sums

    def highest(self, values: np.ndarray, stride: int) -> np.ndarray:
        """float32 [N]: the highest of `values` [N] over the last `stride` frames of an episode, up to each frame."""
        frame, first = np.arange(self.frame_count), np.repeat(self.starts, self.lengths)
        return np.max([values[np.maximum(frame - back, first)] for back in range(stride)], axis=0).astype(np.float32)

    def select(self, episodes: np.ndarray) -> "FrameBank":
        """The bank of these episode indices, in this order."""
        episodes = np.asarray(episodes, dtype=np.int64)
        frames = (
            np.concatenate([np.arange(s.start, s.stop) for s in map(self.frames_of, episodes)])
            if len(episodes)
            else np.zeros(0, dtype=np.int64)
        )
        lengths = self.lengths[episodes]
        return replace(
            self,
            episode_ids=[self.episode_ids[i] for i in episodes],
            tasks=[self.tasks[i] for i in episodes],
            instructions=[self.instructions[i] for i in episodes],
            success=self.success[episodes],
            images=self.images[frames],
            actions=self.actions[frames],
            proprio=self.proprio[frames],
            reward=self.reward[frames],
            progress=self.progress[frames],
            starts=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
            if len(lengths)
            else np.zeros(0, dtype=np.int64),
            lengths=lengths,
            camera_strides=None if self.camera_strides is None else self.camera_strides[episodes],
        )
