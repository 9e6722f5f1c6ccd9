"""The pictures of an episode, decoded."""

import numpy as np

from worldvla.episodes.episode import Episode
from worldvla.episodes.images import decode_image
from worldvla.errors import UserError


def decoded(episode: Episode) -> np.ndarray:
    """uint8 [T + 1, H, W, 3]: the episode's pictures, each until the next state that was drawn.

    Raises `UserError` naming the episode where one is damaged or of another size.
    """
    pictures: list[np.ndarray] = []
    for step, data in enumerate(episode.images):
        if step % episode.camera_stride:
            pictures.append(pictures[-1])
            continue
        try:
            pictures.append(decode_image(data))
        except OSError as error:
            raise UserError(
                f"the picture of episode {episode.episode_id} at step {step} is damaged: {error}"
            ) from error
    if len({picture.shape for picture in pictures}) > 1:
        raise UserError(f"the pictures of episode {episode.episode_id} are of different sizes")
    return np.stack(pictures)
