"""Training windows: which frames of a bank make one example, and how often each is drawn.

A world model imagines every s-th frame (`frame_stride`). A window at frame t of an episode
is its anchor (frame 0), the `history` latest frames t, t - s, ... (the anchor repeated before
the start), the K actions t .. t + K - 1 and the K / s frames t + s, t + 2s, ... that they
lead to. Draws are pure functions of (seed, step).
"""

from dataclasses import dataclass

import numpy as np
import torch

from worldvla.episodes.frame_bank import FrameBank
from worldvla.errors import UserError


@dataclass(frozen=True)
class Windows:
    """All W windows of a bank, as indices of its frames.

    `episode` int64 [W]; `anchor` int64 [W]; `history` int64 [W, h], oldest first, the last
    one frame t; `targets` int64 [W, K / s]; `succeeds` bool [W], whether an action of the
    window leads to success; `weight` float64 [W], of how many windows it has to do the part: an episode of which every
    c-th frame was drawn has one in c windows with pictures, and the others are never drawn; `chunk` is K.
    """

    episode: np.ndarray
    anchor: np.ndarray
    history: np.ndarray
    targets: np.ndarray
    succeeds: np.ndarray
    weight: np.ndarray
    chunk: int

    def __len__(self) -> int:
        return len(self.episode)

    def actions(self, index: np.ndarray) -> np.ndarray:
        """int64 [B, K]: the frames at which the actions of these windows were taken."""
        return self.history[index, -1:] + np.arange(self.chunk)

    def first_chunk(self, index: np.ndarray) -> np.ndarray:
        """int64 [B]: the earliest windows in the same episodes from which whole chunks lead to these."""
        return index - (self.history[index, -1] - self.anchor[index]) // self.chunk * self.chunk

    def next_chunk(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 [B], the windows one chunk after these, and bool [B], where there is one; else they mean nothing."""
        after = np.minimum(index + self.chunk, len(self) - 1)
        return after, (after == index + self.chunk) & (self.episode[after] == self.episode[index])


def windows_of(bank: FrameBank, chunk: int, history: int, stride: int) -> Windows:
    """Every window; episodes shorter than a chunk have none. Raises UserError when no episode has one."""
    counts = np.maximum(bank.lengths - chunk, 0)
    if counts.sum() == 0:
        raise UserError(f"no episode has the {chunk} actions of one chunk (scene.chunk): nothing to train on")
    episode = np.repeat(np.arange(len(bank)), counts)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    anchor = bank.starts[episode]
    current = anchor + offset
    targets = current[:, None] + stride * np.arange(1, chunk // stride + 1)
    latest = np.maximum(current[:, None] + stride * np.arange(1 - history, 1), anchor[:, None])
    succeeds = (bank.highest(bank.reward, stride)[targets] > 0.5).any(1)
    strides = 1.0 if bank.camera_strides is None else bank.camera_strides[episode]
    return Windows(episode, anchor, latest, targets, succeeds, np.where(bank.drawn()[current], strides, 0.0), chunk)


def mixture(groups: list[tuple[np.ndarray, float]], weight: np.ndarray) -> np.ndarray:
    """Probability of each window, float64 [W], from (mask [W], share) groups.

    A group's share is spread over its windows in proportion to their `weight` [W]; the share of a group with none goes
    to the others in proportion.
    """
    weights = np.zeros(len(weight))
    for mask, share in groups:
        if (total := weight[mask].sum()) > 0:
            weights[mask] += share * weight[mask] / total
    if weights.sum() == 0:
        raise UserError("no training window has a share: fine_tuning.sampling gives all that is present 0")
    return weights / weights.sum()


def draw(probabilities: np.ndarray, count: int, generator: torch.Generator) -> np.ndarray:
    """int64 [count] windows, drawn with replacement."""
    uniform = torch.rand(count, generator=generator, dtype=torch.float64).numpy()
    cumulative = np.cumsum(probabilities)
    return np.minimum(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"), len(probabilities) - 1)
