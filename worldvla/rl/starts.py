"""Start states: the real frames from which imagination departs."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from worldvla.episodes.frame_bank import FrameBank, Pictures
from worldvla.errors import UserError
from worldvla.rl.keyframes import NEAR_FAILURE


@dataclass(frozen=True)
class StartStates:
    """N moments of recorded episodes.

    Shapes: `images` uint8 [M, H, W, 3], the frames that they need, each once; `anchor` int64 [N],
    the episode's first frame among them; `history` int64 [N, h], the latest ones, `frame_stride`
    apart, the present one last, the first repeated where there are fewer; `step` int64 [N], how
    many actions were already taken, `travelled` float32 [N, 7], their sum, and `proprio` float32 [N, P],
    what the robot then senses of itself; `kind`, `tasks`
    and `instructions` have N entries. `near_failure_share` of the groups start at near-failure
    keyframes, where there are any.
    """

    images: np.ndarray
    anchor: np.ndarray
    history: np.ndarray
    step: np.ndarray
    travelled: np.ndarray
    proprio: np.ndarray
    kind: list[str]
    tasks: list[str]
    instructions: list[str]
    near_failure_share: float

    def __len__(self) -> int:
        return len(self.tasks)

    @classmethod
    def from_bank(
        cls,
        bank: FrameBank,
        keyframes: Iterable[Mapping],
        history: int,
        frame_stride: int,
        near_failure_share: float,
        pictures: Pictures | None = None,
    ) -> "StartStates":
        """The moments that rows of table `keyframes` name, with `history` frames each, `frame_stride` apart.

        `pictures` gives the frames that are needed, where the bank itself has no images. Raises
        UserError when there are none, ValueError when one names an episode that the bank lacks.
        """
        keyframes = list(keyframes)
        if not keyframes:
            raise UserError("rl: no start states; the train split holds no episode (curation.validation, heldout)")
        index = {episode_id: episode for episode, episode_id in enumerate(bank.episode_ids)}
        if missing := {row["episode_id"] for row in keyframes} - index.keys():
            raise ValueError(f"keyframes name episodes that the bank lacks: {sorted(missing)[:3]}")
        episodes = np.array([index[row["episode_id"]] for row in keyframes])
        step = np.array([row["step"] for row in keyframes], dtype=np.int64)
        latest = np.maximum(step[:, None] + frame_stride * np.arange(1 - history, 1), 0)
        first = bank.starts[episodes][:, None]
        frames, place = np.unique(np.concatenate([first, first + latest], axis=1), return_inverse=True)
        place = place.reshape(len(keyframes), 1 + history)
        return cls(
            images=bank.images[frames] if pictures is None else pictures(frames),
            anchor=place[:, 0],
            history=place[:, 1:],
            step=step,
            travelled=bank.travelled()[bank.starts[episodes] + step],
            proprio=bank.proprio[bank.starts[episodes] + step],
            kind=[row["kind"] for row in keyframes],
            tasks=[bank.tasks[episode] for episode in episodes],
            instructions=[bank.instructions[episode] for episode in episodes],
            near_failure_share=near_failure_share,
        )

    def draw(self, groups: int, random: torch.Generator, without: Collection[str] = ()) -> np.ndarray:
        """int64 [groups]: distinct states as far as there are enough, as many of each task, near-failure ones in their
        share.

        What is no whole number is met on average over draws. Tasks `without` which to draw take their groups with them:
        of the others there are as many as ever. Raises ValueError where no task is left.
        """
        tasks, is_near = np.array(self.tasks), np.array([kind == NEAR_FAILURE for kind in self.kind])
        every = set(tasks[~is_near].tolist() if not self.near_failure_share and not is_near.all() else self.tasks)
        drawn = sorted(every - set(without))
        if not drawn:
            raise ValueError(f"no task is left without {sorted(without)}")
        groups = max(1, round(groups * len(drawn) / len(every)))
        share, rest = divmod(groups, len(drawn))
        counts = share + (torch.randperm(len(drawn), generator=random).numpy() < rest)
        found = []
        for task, count in zip(drawn, counts.tolist(), strict=True):
            near, other = (np.flatnonzero((tasks == task) & kind) for kind in (is_near, ~is_near))
            nearly = int(self.near_failure_share * count + torch.rand((), generator=random).item()) if len(near) else 0
            nearly = nearly if len(other) else count
            found += [_sample(other, count - nearly, random), _sample(near, nearly, random)]
        return np.concatenate(found)


def _sample(pool: np.ndarray, count: int, random: torch.Generator) -> np.ndarray:
    """`count` entries of the pool, none again before all have been taken."""
    rounds = -(-count // len(pool)) if count else 0
    taken = [pool[torch.randperm(len(pool), generator=random).numpy()] for _ in range(rounds)]
    return np.concatenate(taken)[:count] if taken else pool[:0]
