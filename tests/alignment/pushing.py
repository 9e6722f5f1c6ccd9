"""A toy that alignment can be measured on: a square pushed to the right; success when it covers the mark."""

import numpy as np

from worldvla.episodes.frame_bank import FrameBank

SIZE = 32
MARK = 20


def bank(episodes: int = 12, lengths: tuple[int, ...] = (8, 12), seed: int = 0) -> FrameBank:
    """Every other episode succeeds, in its last frames; lengths (actions) in turn, each twice."""
    random = np.random.default_rng(seed)
    floor = random.integers(60, 100, (SIZE, SIZE, 3), dtype=np.uint8)
    floor[:, MARK] = (240, 240, 240)
    images, actions, places, rewards, sizes = [], [], [], [], []
    for episode in range(episodes):
        length = lengths[episode // 2 % len(lengths)]
        end = MARK - 2 if episode % 2 == 0 else random.integers(4, 12)
        x = np.concatenate([[2], np.linspace(2, end, length)[1:].round(), [end]]).astype(int)
        frames = np.repeat(floor[None], length + 1, axis=0)
        for frame, at in zip(frames, x, strict=True):
            frame[12:20, at : at + 6] = (220, 30, 30)
        push = np.zeros((length + 1, 7), np.float32)
        push[:-1, 0] = np.diff(x) / 4
        images.append(frames)
        actions.append(push)
        places.append(x[:, None].astype(np.float32) / SIZE)
        rewards.append((x + 5 >= MARK).astype(np.float32))
        sizes.append(length + 1)
    reward = np.concatenate(rewards)
    sizes = np.array(sizes, np.int64)
    return FrameBank(
        episode_ids=[f"episode-{index:02d}" for index in range(episodes)],
        tasks=["toy" if index % 4 < 2 else "other" for index in range(episodes)],
        instructions=["push the square over the mark"] * episodes,
        success=np.array([values.any() for values in rewards]),
        images=np.concatenate(images),
        actions=np.concatenate(actions),
        proprio=np.concatenate(places),
        reward=reward,
        progress=reward,
        starts=np.concatenate([[0], sizes.cumsum()[:-1]]),
        lengths=sizes,
    )
