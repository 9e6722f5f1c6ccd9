"""A sound episode, and one real damage for each rule."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from worldvla.episodes.episode import Episode, Source
from worldvla.episodes.images import encode_image

TASK, OTHER = "PushCube-v1", "stack the red cube on the green cube"
INSTRUCTION = "push the blue cube onto the red and white target"
LENGTH = 16


def sound(seed: int = 0, **changes) -> Episode:
    """A success at state 5 that settles for one chunk of 8; the arm sweeps, the picture follows it."""
    steps = np.arange(LENGTH + 1)
    generator = np.random.default_rng(seed)
    reward = (steps >= 5).astype(np.float32)
    progress = np.where(reward > 0, 1.0, steps / 10).astype(np.float32)
    positions = 0.02 * steps[:, None] * np.ones(9) + generator.normal(0, 1e-4, (LENGTH + 1, 9))
    episode = Episode(
        suite="maniskill_tabletop",
        task=TASK,
        instruction=INSTRUCTION,
        seed=seed,
        source=Source.EXPERT,
        actor="expert-1",
        images=[picture(step, seed) for step in steps],
        proprio=np.hstack([positions, np.full_like(positions, 0.4)]).astype(np.float32),
        actions=generator.uniform(-0.9, 0.9, (LENGTH, 7)).astype(np.float32),
        reward=reward,
        progress=progress,
        initial_state=generator.standard_normal(6),
        settings={"chunk": 8, "settle": 1, "max_steps": 48},
    )
    return replace(episode, **changes)


def picture(step: int, seed: int = 0, size: int = 64) -> bytes:
    image = np.random.default_rng(seed).integers(60, 90, (size, size, 3), dtype=np.uint8)
    image[16:32, 2 * step : 2 * step + 16] = (220, 60, 60)
    return encode_image(image)


def _images(change: Callable[[list[bytes]], None]) -> Episode:
    images = list(sound().images)
    change(images)
    return sound(images=images)


def _array(name: str, change: Callable[[np.ndarray], None]) -> Episode:
    array = getattr(sound(), name).copy()
    change(array)
    return sound(**{name: array})


def truncated() -> Episode:
    """The file of one frame ends in the middle: what a full disk leaves."""
    return _images(lambda images: images.__setitem__(7, images[7][: len(images[7]) // 2]))


def black() -> Episode:
    return _images(lambda images: images.__setitem__(3, encode_image(np.zeros((64, 64, 3), np.uint8))))


def frozen(frames: int) -> Episode:
    """The camera repeats a frame while the arm moves on; encoded anew each time, so that bytes differ."""

    def freeze(images: list[bytes]) -> None:
        still = Image.open(io.BytesIO(images[4])).convert("RGB")
        for step in range(5, 5 + frames):
            buffer = io.BytesIO()
            still.save(buffer, format="JPEG", quality=80 + step)
            images[step] = buffer.getvalue()

    return _images(freeze)


def clocked(change: Callable[[np.ndarray], None] = lambda times: None, rate: float = 20.0) -> Episode:
    times = 100.0 + np.arange(LENGTH + 1) / 20
    change(times)
    return sound(timestamps=times, settings=sound().settings | {"fps": rate})


def longer(chunks: int) -> Episode:
    """The recorder ran on after the success that ended the episode."""
    base, extra = sound(), 8 * chunks
    steps = np.arange(LENGTH + extra + 1)
    return sound(
        images=[*base.images, *(picture(LENGTH + i % 7 + 1, i) for i in range(extra))],
        proprio=np.vstack([base.proprio, base.proprio[-1] + 0.02 * np.arange(1, extra + 1)[:, None]]),
        actions=np.vstack([base.actions, base.actions[:1].repeat(extra, 0)]),
        reward=(steps >= 5).astype(np.float32),
        progress=np.where(steps >= 5, 1.0, steps / 10).astype(np.float32),
    )


def _lost(episode: Episode) -> Episode:
    reward, progress = episode.reward.copy(), episode.progress.copy()
    reward[-2:], progress[-2:] = 0, 0.8
    return replace(episode, reward=reward, progress=progress)


def _short(length: int) -> Episode:
    base = sound()
    return sound(
        images=base.images[: length + 1],
        proprio=base.proprio[: length + 1],
        actions=base.actions[:length],
        reward=base.reward[: length + 1],
        progress=base.progress[: length + 1],
    )


def _set(index: object, value: float) -> Callable[[np.ndarray], None]:
    return lambda array: array.__setitem__(index, value)


def _spiked(array: np.ndarray) -> None:
    array[6, 12] += 3.0  # a velocity: no limit of the robot's positions is touched


# Rule name → an episode that breaks exactly this rule, whatever warnings come with it.
ERRORS: dict[str, Callable[[], Episode]] = {
    "no_actions": lambda: _short(0),
    "arrays_disagree": lambda: sound(proprio=sound().proprio[:-2]),
    "incomplete_chunk": lambda: _short(13),
    "frames_missing": truncated,
    "picture_size_changes": lambda: _images(lambda images: images.__setitem__(9, picture(9, 0, 96))),
    "black_frames": black,
    "frozen_frames": lambda: frozen(8),
    "timestamps_incomplete": lambda: clocked(_set(4, np.nan)),
    "timestamp_backward": lambda: clocked(_set(4, 100.14)),
    "timestamp_gap": lambda: clocked(lambda times: times.__iadd__(np.where(np.arange(LENGTH + 1) > 8, 0.05, 0))),
    "action_not_finite": lambda: _array("actions", _set((2, 3), np.nan)),
    "action_out_of_range": lambda: _array("actions", _set((2, 3), 1.5)),
    "proprio_not_finite": lambda: _array("proprio", _set((2, 3), np.inf)),
    "proprio_jump": lambda: _array("proprio", lambda array: array[8:, 2].__iadd__(0.9)),
    "reward_not_binary": lambda: sound(reward=sound().reward * 0.9),
    "progress_out_of_range": lambda: _array("progress", _set(2, -0.2)),
    "reward_contradicts_progress": lambda: _array("progress", _set(9, 0.4)),
    "reward_after_success": lambda: longer(2),
    "instruction_empty": lambda: sound(instruction="  ", source=Source.IMPORT),
    "instruction_of_another_task": lambda: sound(instruction=OTHER, source=Source.IMPORT),
}
WARNINGS: dict[str, Callable[[], Episode]] = {
    "frame_repeated": lambda: frozen(2),
    "timestamp_drift": lambda: clocked(rate=21.0),
    "action_saturation": lambda: sound(actions=np.sign(sound().actions)),
    "proprio_spike": lambda: _array("proprio", _spiked),
    "success_lost": lambda: _lost(sound()),
    "instruction_unknown": lambda: sound(
        source=Source.TELEOP, instruction="push the bleu cube onto the red and white target"
    ),
}
